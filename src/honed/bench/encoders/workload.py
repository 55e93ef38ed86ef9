"""What is run of an encoder: a batch of texts of a given length, over and over, on a given number of threads.

Also imported by the measured process of another system: the standard library and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from honed.bench.workload import MOST, prompt_ids
from honed.parameters import whole_number


@dataclass(frozen=True)
class EncodeWorkload:
    """`texts` texts in a batch, each of `tokens` tokens with those around it. ragged: from a quarter of that length to
    all of it, as texts are; systems that need a rectangle fill it up. `runs` processes are started for each system, and
    each encodes for `seconds`."""

    texts: int = 32
    tokens: int = 64
    threads: int = 1
    runs: int = 5
    ragged: bool = False
    seconds: float = 2.0

    def __post_init__(self) -> None:
        for name, least in {"texts": 1, "tokens": 3, "threads": 1, "runs": 1}.items():
            whole_number(name, getattr(self, name), least, MOST)

    @property
    def label(self) -> str:
        """In words."""
        length = f"{self.lengths[-1]} to {self.tokens}" if self.ragged else f"{self.tokens}"
        return f"{self.texts} texts of {length} tokens, {self.threads} thread{'s' if self.threads > 1 else ''}"

    @property
    def lengths(self) -> tuple[int, ...]:
        """Of each text, longest first."""
        if not self.ragged or self.texts == 1:
            return (self.tokens,) * self.texts
        least = max(3, self.tokens // 4)
        steps = self.texts - 1
        return tuple(self.tokens - (self.tokens - least) * index // steps for index in range(self.texts))


def workload_texts(
    encode: Callable[[str], list[int]], complete: Callable[[Sequence[int]], list[int]], workload: EncodeWorkload
) -> tuple[tuple[int, ...], ...]:
    """Token ids of each text: consecutive pieces of the default text, which `complete` puts between those that stand
    around a text."""
    around = len(complete(()))
    inner = [max(0, length - around) for length in workload.lengths]
    ids = prompt_ids(encode, sum(inner))
    texts, start = [], 0
    for length in inner:
        texts.append(tuple(complete(ids[start : start + length])))
        start += length
    return tuple(texts)
