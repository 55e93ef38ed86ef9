"""Labelled texts to train on, and which of them a step takes in.

Texts of a step are of about one length, so that little is computed for nothing, and which those are follows from the
seed and the step alone. Not here: files and tokenizers, which make the tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from honed.compress.training.meanings import Texts

_SORTED_TOGETHER = 32
"""Batches whose texts are sorted by length together: enough that those of one are alike, few enough that they mix."""


@dataclass(frozen=True)
class Example:
    """One text. tokens, types: int32 [n]. places: int32 [k], the tokens that something is learned of; of classes none,
    as the text has them.

    targets: int64 [k] labels of those tokens; int64 [1] the label of the text; float32 [labels], 1 for each that it
    has. aims: float32 [k or 1, labels], logits of a teacher. rows: float32 [k or 1, width], what enters the head, where
    it is known.
    """

    tokens: NDArray[np.int32]
    types: NDArray[np.int32]
    places: NDArray[np.int32]
    targets: NDArray[np.int64] | NDArray[np.float32]
    aims: NDArray[np.float32] | None = None
    rows: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.tokens)


class Batches:
    """Examples in steps. Each is taken in once an epoch, in another order each time; the last step of an epoch may have
    fewer."""

    def __init__(self, lengths: Sequence[int], batch: int, seed: int) -> None:
        self._lengths, self._batch, self._seed = np.array(lengths), batch, seed
        self._epoch, self._steps = -1, list[NDArray[np.intp]]()

    @property
    def of_epoch(self) -> int:
        """Steps of an epoch."""
        return -(-len(self._lengths) // self._batch)

    def of_step(self, step: int) -> NDArray[np.intp]:
        """The numbers of the examples of a step, which are counted from 0."""
        epoch = step // self.of_epoch
        if epoch != self._epoch:
            self._epoch, self._steps = epoch, self._ordered(epoch)
        return self._steps[step % self.of_epoch]

    def _ordered(self, epoch: int) -> list[NDArray[np.intp]]:
        random = np.random.default_rng([self._seed, epoch])
        order = random.permutation(len(self._lengths))
        size = self._batch * _SORTED_TOGETHER
        parts = (order[first : first + size] for first in range(0, len(order), size))
        alike = np.concatenate([part[np.argsort(self._lengths[part], kind="stable")] for part in parts])
        steps = [alike[first : first + self._batch] for first in range(0, len(alike), self._batch)]
        return [steps[number] for number in random.permutation(len(steps))]


def parts(numbers: Sequence[int], lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Examples in order of their length, so many at a time as have `most` tokens together; one alone may have more."""
    chosen: list[int] = []
    for number in sorted(numbers, key=lambda number: (-lengths[number], number)):
        if chosen and lengths[chosen[0]] * (len(chosen) + 1) > most:
            yield chosen
            chosen = []
        chosen.append(number)
    if chosen:
        yield chosen


def as_texts(examples: Sequence[Example], device: torch.device) -> Texts:
    """Back to back, with their places selected."""
    lengths = tuple(len(one) for one in examples)
    starts = np.cumsum(lengths) - lengths
    selected = [one.places.astype(np.int64) + start for one, start in zip(examples, starts, strict=True)]

    def joined(arrays: Sequence[NDArray[np.int32]] | Sequence[NDArray[np.int64]]) -> torch.Tensor:
        return torch.from_numpy(np.concatenate(arrays).astype(np.int64)).to(device)

    return Texts(
        joined([one.tokens for one in examples]), joined([one.types for one in examples]), lengths, joined(selected)
    )
