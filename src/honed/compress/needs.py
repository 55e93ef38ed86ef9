"""What a pass may ask of the data, and the form in which it is told.

Not here: how it is found, which is `observe.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from honed.encodings.base import Encoded
from honed.models.base import Model

Columns = NDArray[np.float32]
"""A factor for each input feature."""

Statistic = Literal["cosine", "gram", "mean_square"]
"""gram, mean_square: of the inputs of each linear layer, a value for each pair of features, or for each feature.
cosine: between what enters and what leaves one or two blocks, one value each."""


Order = Literal["any", "blocks"]
"""How a pass goes through the model. `any`: it is applied once, and told of the whole model as it is before. `blocks`:
it is applied to one block after the other, in the order of the model, and told of what enters each where all before it
are changed already; no more than one is observed at a time."""


@dataclass(frozen=True)
class Needs:
    """statistics: what is to be known of what goes through the model. teacher: whether the pass learns from the model
    as it was before all passes. Without either, no calibration text is needed."""

    statistics: frozenset[Statistic] = frozenset()
    order: Order = "any"
    teacher: bool = False


@dataclass(frozen=True)
class InputStatistics:
    """Means over `tokens` token rows x that enter a linear layer, by the name of its weight.

    `mean_square[name]` is that of x * x, [in features]; `gram[name]` that of the outer product of x with itself,
    [in features, in features]. What was not asked for is empty. `few` has the weights of experts that few rows went to,
    and how many; their means are over rows of others too. `cosine` is the mean over tokens, by the numbers in the main
    graph of two values of one width, each of which is all that blocks after it read.
    """

    mean_square: Mapping[str, NDArray[np.float64]]
    gram: Mapping[str, NDArray[np.float64]]
    tokens: int
    few: Mapping[str, int] = field(default_factory=dict)
    cosine: Mapping[tuple[int, int], float] = field(default_factory=dict)

    def rms(self, name: str) -> NDArray[np.float64]:
        """Root mean square of each input feature."""
        return np.sqrt(self.mean_square[name])

    def divided(self, factors: Mapping[str, Columns]) -> InputStatistics:
        """Those of the same model where the inputs of these weights are divided by a factor for each feature."""
        wide = {name: divisor.astype(np.float64) for name, divisor in factors.items()}
        squares = {name: self.mean_square[name] / np.square(wide[name]) for name in wide if name in self.mean_square}
        grams = {name: self.gram[name] / np.outer(wide[name], wide[name]) for name in wide if name in self.gram}
        return InputStatistics(
            {**self.mean_square, **squares}, {**self.gram, **grams}, self.tokens, self.few, self.cosine
        )


Inputs = Callable[[], InputStatistics]
"""What enters linear layers: measured at the first call, kept from then on."""


class Source(Protocol):
    """A model with its weights, as a `ModelState` is one."""

    @property
    def model(self) -> Model: ...

    @property
    def weights(self) -> Mapping[str, Encoded]: ...


@dataclass(frozen=True)
class Lesson:
    """For a pass that learns: the model before all passes, the windows of tokens, all of one length, and the folder for
    what it keeps of its work, if there is one."""

    teacher: Source
    windows: Sequence[Sequence[int]]
    folder: Path | None = None


@dataclass(frozen=True)
class Observed:
    """What a pass is told. `linears`: the weights of the linear layers that it is about. A tied head is there, and its
    inputs are, under the name of its table."""

    linears: frozenset[str]
    inputs: Inputs
    lesson: Lesson | None = None
