"""A text, or two, as an encoder reads them: token ids between those of the post-processor, types, and where in the text
each token stands.

A text that is too long is cut, as encoders are trained and used; `EncoderInput.dropped` says by how much. Or it is read
in windows that overlap (`TextWindow`), each of which owns the tokens that stand nearer to its middle than to that of
another: what is said of a token is taken from where most is seen on both of its sides. Not here: prompts of decoders
(`Tokenizer.encode`), which are never cut.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate, chain
from typing import Any, Literal

from honed.errors import ParameterError, UnsupportedError
from honed.records import dataclass
from honed.text.tokenizer import Tokenizer, encoded, no_panic

_CHARACTERS_A_TOKEN = 16
"""Of a long text so many for each token that is kept are looked at first; English has four to five."""
_STRIDE = 128
_SPACE = re.compile(r"\s")
Cut = Literal["longest", "first", "second"]
"""Which text of a pair is cut where both are too long together."""


@dataclass(frozen=True)
class EncoderInput:
    """One row a token. types: 0, or what the post-processor gives the second text of a pair.

    spans: begin and end of each token in its text, in characters; None for those that were put around the texts.
    dropped: tokens that did not fit, 0 if all is there; of a text of which not even all was looked at, those seen.
    """

    tokens: tuple[int, ...]
    types: tuple[int, ...]
    spans: tuple[tuple[int, int] | None, ...]
    dropped: int

    @staticmethod
    def of_tokens(tokens: Sequence[int]) -> EncoderInput:
        """One text that is token ids already, those around it included: it has no characters to be found in."""
        return EncoderInput(tuple(tokens), (0,) * len(tokens), (None,) * len(tokens), 0)


@dataclass(frozen=True)
class TextWindow(EncoderInput):
    """A part of a text as it is read, alone or behind another text; all is there of one that fits.

    spans: of the windowed text only, in characters without the spaces around a token; None for every other token.
    words: the number of the word in the text that a token is of, as the tokenizer splits them; None where spans are.
    start: tokens of the text before those of this window. own: from where to where, in rows of this window, the tokens
    lie that it owns; every token of the text is owned once.
    """

    words: tuple[int | None, ...]
    start: int
    own: tuple[int, int]


class EncoderTexts:
    """Texts to `EncoderInput` for one tokenizer and one length."""

    def __init__(self, tokenizer: Tokenizer, limit: int, *, lowercase: bool = False) -> None:
        """`limit`: tokens of an input, those around the texts included. UnsupportedError where that leaves no room."""
        self._tokenizer = tokenizer
        self._fast = tokenizer.fast
        self._lowercase = lowercase
        self._limit = limit
        self._room = {pair: limit - self._fast.num_special_tokens_to_add(pair) for pair in (False, True)}
        if self._room[False] < 1:
            raise UnsupportedError(
                f"the tokenizer puts {limit - self._room[False]} tokens around a text, and the model takes {limit}"
            )

    def at_most(self, limit: int) -> EncoderTexts:
        """The same for inputs that have no more than `limit` tokens."""
        return EncoderTexts(self._tokenizer, min(limit, self._limit), lowercase=self._lowercase)

    def encode(self, text: str) -> EncoderInput:
        """One text. A text that is not Unicode: ParameterError; a tokenizer that breaks on it: UnsupportedError."""
        ids, seen = self._ids(text, self._room[False])
        return self._around(ids, None, max(0, seen - self._room[False]))

    def encode_pair(self, first: str, second: str, cut: Cut = "longest") -> EncoderInput:
        """Two texts behind each other. Where they are too long together, the one that `cut` names is cut; of "longest",
        the longer one to what the shorter one leaves, and both to halves where that is less than the shorter one.
        ParameterError where the one that is not cut leaves no room."""
        room = max(self._room[True], 0)
        one, one_seen = self._ids(first, room)
        two, two_seen = self._ids(second, room)
        dropped = one_seen + two_seen - room
        if dropped > 0:
            if cut == "longest":
                short, long = sorted((one_seen, two_seen))
                if 2 * short > room:
                    short, long = room // 2, room - room // 2
                else:
                    long = room - short
                one_kept, two_kept = (long, short) if one_seen > two_seen else (short, long)
            else:
                kept, whole = (two_seen, second) if cut == "first" else (one_seen, first)
                if kept >= room:
                    raise ParameterError("text", whole[:60], f"leaves no room for the other text in {room} tokens")
                one_kept, two_kept = (room - kept, kept) if cut == "first" else (kept, room - kept)
            one.truncate(one_kept)
            two.truncate(two_kept)
        return self._around(one, two, max(0, dropped))

    def windows(self, text: str, stride: int | None = None, limit: int | None = None) -> list[TextWindow]:
        """A whole text in windows of `limit` tokens at most (None: what the model takes), that have `stride` tokens in
        common with the next one (None: half of them, 128 at most). ParameterError for a stride that does not fit."""
        spare = 0 if limit is None else self._limit - min(limit, self._limit)
        return self._windows(None, text, self._room[False] - spare, stride)

    def windows_behind(
        self,
        first: str,
        second: str,
        stride: int | None = None,
        limit: int | None = None,
        most_of_first: int | None = None,
    ) -> list[TextWindow]:
        """`windows` of the second text, each behind all of the first, which is cut at `most_of_first` tokens."""
        one, _ = self._ids(first, self._room[True] if most_of_first is None else most_of_first)
        spare = 0 if limit is None else self._limit - min(limit, self._limit)
        return self._windows(one, second, self._room[True] - spare - len(one.ids), stride)

    def _windows(self, one: Any, text: str, room: int, stride: int | None) -> list[TextWindow]:
        if room < 1:
            raise ParameterError(
                "text", f"{len(one.ids) if one else 0} tokens", "leaves no room for the text behind it"
            )
        if stride is None:
            stride = min(_STRIDE, room // 2)
        elif not 0 <= stride < room:
            raise ParameterError("stride", stride, f"must be from 0 to {room - 1}, under the tokens of a window")
        _check_unicode(text)
        whole = encoded(self._fast, self._in_place(text))
        whole.truncate(room, stride=stride)
        parts = [whole, *whole.overflowing]
        starts = [number * (room - stride) for number in range(len(parts))]
        ends = [start + len(part.ids) for start, part in zip(starts, parts, strict=True)]
        middles = [(start + end) // 2 for start, end in zip(starts[1:], ends[:-1], strict=True)]
        owned = zip([0, *middles], [*middles, ends[-1]], strict=True)
        return [
            self._window(text, (one, part), start, (begin, end))
            for part, start, (begin, end) in zip(parts, starts, owned, strict=True)
        ]

    def _window(self, text: str, parts: tuple[Any, Any], start: int, owned: tuple[int, int]) -> TextWindow:
        """parts: what stands before, or None, and the part of the text. owned: counted in the whole text."""
        before, part = parts
        with no_panic("tokenizer"):
            one, two = (part, None) if before is None else (before, part)
            found = self._fast.post_process(one, two, True)
        passed = 0 if before is None else len(before.ids)
        texts = accumulate(not added for added in found.special_tokens_mask)
        here = [not added and count > passed for added, count in zip(found.special_tokens_mask, texts, strict=True)]
        first = here.index(True) if any(here) else 0
        spans, words = iter(part.offsets), iter(part.word_ids)
        return TextWindow(
            tokens=tuple(found.ids),
            types=tuple(found.type_ids),
            spans=tuple(_trimmed(text, *next(spans)) if own else None for own in here),
            dropped=0,
            words=tuple(next(words) if own else None for own in here),
            start=start,
            own=(first + owned[0] - start, first + owned[1] - start),
        )

    def _ids(self, text: str, room: int) -> tuple[Any, int]:
        """The library's encoding of a text, of at most `room` tokens, and how many tokens were seen.

        Of a long text only a beginning is looked at, up to a space, as long as that has clearly more tokens than are
        kept: splitting it up takes time by the length.
        """
        _check_unicode(text)
        end = _CHARACTERS_A_TOKEN * room
        while end < len(text):
            space = _SPACE.search(text, end)
            part = text if space is None else text[: space.start()]
            found = encoded(self._fast, self._spelled(part))
            if len(found.ids) > room or len(part) == len(text):
                break
            end *= 4
        else:
            found = encoded(self._fast, self._spelled(text))
        seen = len(found.ids)
        found.truncate(room)
        return found, seen

    def _spelled(self, text: str) -> str:
        return text.lower() if self._lowercase else text

    def _in_place(self, text: str) -> str:
        """`_spelled` with every character where it was: one whose small letter is two is left."""
        if not self._lowercase:
            return text
        lower = text.lower()
        if len(lower) == len(text):
            return lower
        return "".join(small if len(small := letter.lower()) == 1 else letter for letter in text)

    def _around(self, one: Any, two: Any, dropped: int) -> EncoderInput:
        with no_panic("tokenizer"):
            whole = self._fast.post_process(one, two, True)
        # Of the encodings before: some post-processors take the space before a word out of its span, each time again.
        spans = chain(one.offsets, () if two is None else two.offsets)
        return EncoderInput(
            tuple(whole.ids),
            tuple(whole.type_ids),
            tuple(None if added else next(spans) for added in whole.special_tokens_mask),
            dropped,
        )


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """A span without the spaces around it: tokenizers that keep spaces count them as part of the word behind."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _check_unicode(text: object) -> None:
    if not isinstance(text, str):
        raise ParameterError("text", text, "must be a text")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        shown = text[error.start : error.start + 1]
        raise ParameterError("text", shown, f"character {error.start} is half of a surrogate pair") from None
