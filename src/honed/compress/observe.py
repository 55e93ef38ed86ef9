"""Observes a model on calibration tokens: what enters its linear layers, exactly as much of it as is asked for.

The recorded graph is gone through block by block in float32, on the native engine where that knows its ops
(`observed_blocks.py`), with the weights of one block in memory. Between two blocks one value is held for all windows:
memory does not grow with the depth of the model. No cache, no logits, no torch. What is found is the same to the bit
whatever the number of threads and the instruction set, but for blocks that numpy goes through.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set

import numpy as np
from numpy.typing import NDArray

from honed.compress.blocks import Block
from honed.compress.needs import InputStatistics, Statistic
from honed.compress.observed_blocks import Crossing, PlacedBlock, Weights, place_blocks
from honed.compress.observed_ops import FEW_ROWS, Floats
from honed.compress.row_statistics import gram, mean_square
from honed.errors import ParameterError
from honed.models.base import Model
from honed.notes import note

Tokens = Sequence[Sequence[int]]
"""Windows of token ids, all of one length. Each is a text of its own."""


def observe(
    model: Model, weights: Weights, windows: Tokens, statistics: Set[Statistic], *, threads: int
) -> InputStatistics:
    """What enters the linear layers of the whole model. Errors: those of `Walk`."""
    walk = Walk(model, windows, threads=threads)
    found = InputStatistics({}, {}, 0)
    for block in walk.blocks:
        inputs = walk.through(block, weights, statistics)
        # A weight that is used twice is observed where it is used first.
        squares, grams = {**inputs.mean_square, **found.mean_square}, {**inputs.gram, **found.gram}
        found = InputStatistics(squares, grams, inputs.tokens, {**inputs.few, **found.few})
    if found.few:
        name, rows = min(found.few.items(), key=lambda item: item[1])
        note(
            f"calibration: {len(found.few)} weights of experts saw fewer than {FEW_ROWS} tokens, {name} {rows}; they "
            "were shown those of other experts too: calibrate on more text"
        )
    return found


def slow_blocks(model: Model) -> tuple[str, ...]:
    """For a user: which blocks of a model are observed in numpy, and why. PlanError as of `Walk`."""
    placed = place_blocks(model)
    reasons = Counter(one.not_native for one in placed if one.not_native is not None)
    return tuple(
        f"{count} of {len(placed)} blocks were calibrated in numpy, as the native engine does not run them: {reason}"
        for reason, count in reasons.items()
    )


class Walk:
    """All windows on their way through a model, from block to block. Weights of a block are read when it is gone
    through, and no others.

    ParameterError for windows that are empty, ragged or out of vocabulary, PlanError for an op without a meaning here.
    """

    def __init__(self, model: Model, windows: Tokens, *, threads: int) -> None:
        self._tokens = _checked(windows, model.dimensions.vocabulary)
        self._placed = {one.block: one for one in place_blocks(model)}
        self._crossing = Crossing(model, self._tokens, threads)
        self._threads = threads
        self._values: dict[int, Floats] = {}
        self.blocks = tuple(self._placed)

    def through(self, block: Block, weights: Weights, statistics: Set[Statistic] = frozenset()) -> InputStatistics:
        """Goes through the next block, and tells what entered its linear layers."""
        placed = self._placed[block]
        found, leaving = self._run(placed, weights, statistics)
        self._values = {number: rows for number, rows in (self._values | leaving).items() if number in placed.alive}
        return found

    def look_into(self, block: Block, weights: Weights, statistics: Set[Statistic]) -> InputStatistics:
        """What would enter the linear layers of the next block, before which the windows stay."""
        return self._run(self._placed[block], weights, statistics)[0]

    def _run(
        self, placed: PlacedBlock, weights: Weights, statistics: Set[Statistic]
    ) -> tuple[InputStatistics, dict[int, Floats]]:
        notes = _Notes(statistics, self._threads)
        leaving = self._crossing.cross(
            placed, weights, self._values, notes.take if statistics else None, notes.take_few
        )
        return InputStatistics(notes.mean_square, notes.gram, self._tokens.size, notes.few), leaving


class _Notes:
    """The statistics of one block as they come in."""

    def __init__(self, statistics: Set[Statistic], threads: int) -> None:
        self._statistics = statistics
        self._threads = threads
        self.mean_square: dict[str, NDArray[np.float64]] = {}
        self.gram: dict[str, NDArray[np.float64]] = {}
        self.few: dict[str, int] = {}

    def take_few(self, name: str, rows: int) -> None:
        """So many rows go to the expert that has this weight, before others are shown to it."""
        self.few[name] = rows

    def take(self, names: Sequence[str], rows: Floats) -> None:
        """`rows` [rows, features] enter the linear layers of these weights."""
        if "mean_square" in self._statistics:
            self.mean_square |= dict.fromkeys(self._new(names, self.mean_square), mean_square(rows))
        if "gram" in self._statistics:
            self.gram |= dict.fromkeys(self._new(names, self.gram), gram(rows, self._threads))

    @staticmethod
    def _new(names: Sequence[str], known: Mapping[str, object]) -> list[str]:
        return [name for name in names if name not in known]


def _checked(windows: Tokens, vocabulary: int) -> NDArray[np.int64]:
    lengths = {len(window) for window in windows}
    if len(lengths) != 1 or lengths == {0}:
        raise ParameterError("calibration windows", sorted(lengths), "must be at least one, all of one length over 0")
    tokens = np.array(windows, dtype=np.int64)
    if tokens.min() < 0 or tokens.max() >= vocabulary:
        raise ParameterError("calibration token", int(tokens.max()), f"must be from 0 to {vocabulary - 1}")
    return tokens
