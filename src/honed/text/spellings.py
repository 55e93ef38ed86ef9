"""Words in texts, found wherever they begin. Not here: what the words are (`text/literal.py`)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import cached_property


class Spellings:
    """Finds words in texts: at each place the longest. Thousands of words cost no more than their lengths differ."""

    def __init__(self, words: Collection[str]) -> None:
        """None of the words is empty."""
        self._words = frozenset(words)
        self._lengths = sorted({len(word) for word in words}, reverse=True)
        first = "".join(sorted({re.escape(word[0]) for word in words}))
        self._first = re.compile(f"[{first}]") if words else None

    def places(self, text: str) -> Iterator[tuple[int, str]]:
        """Every place where a word begins, with the longest one; they may overlap."""
        for found in self._first.finditer(text) if self._first is not None else ():
            place = found.start()
            for length in self._lengths:
                if (word := text[place : place + length]) in self._words:
                    yield place, word
                    break

    def begun_at_the_end(self, text: str) -> int:
        """How many characters at the end of a text begin a word that goes on after it; 0: none."""
        return next((n for n in self._parts(text) if text[-n:] in self._beginnings), 0)

    def ended_at_the_start(self, text: str) -> int:
        """How many characters at the start of a text end a word that began before it; 0: none."""
        return next((n for n in self._parts(text) if text[:n] in self._ends), 0)

    def _parts(self, text: str) -> range:
        longest = self._lengths[0] - 1 if self._lengths else 0
        return range(min(longest, len(text)), 0, -1)

    @cached_property
    def _beginnings(self) -> frozenset[str]:
        return frozenset(word[:end] for word in self._words for end in range(1, len(word)))

    @cached_property
    def _ends(self) -> frozenset[str]:
        return frozenset(word[start:] for word in self._words for start in range(1, len(word)))
