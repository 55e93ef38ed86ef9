"""Observes a model on calibration tokens: what enters its linear layers, exactly as much of it as is asked for.

The recorded graph is gone through block by block in float32, on the native engine where that knows its ops
(`observed_blocks.py`), with the weights of one block in memory. Between two blocks one value is held for all windows:
memory does not grow with the depth of the model. No cache, no logits, no torch. What is found is the same to the bit
whatever the number of threads and the instruction set, but for blocks that numpy goes through.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honed.compress.blocks import Block
from honed.compress.needs import InputStatistics, Statistic
from honed.compress.observed_blocks import Crossing, PlacedBlock, Weights, place_blocks
from honed.compress.observed_ops import FEW_ROWS, Floats
from honed.compress.row_statistics import mean_cosine, outer_sums, square_sums
from honed.encodings.base import Encoded
from honed.errors import ParameterError
from honed.models.base import Model
from honed.notes import note

PART_ROWS = 8192
"""Rows that go through a block together. What enters all linear layers of a block is held for so many, and packing its
weights once more for each part costs little beside the products of so many."""
Tokens = Sequence[Sequence[int]]
"""Windows of token ids, all of one length. Each is a text of its own."""


def observe(
    model: Model, weights: Weights, windows: Tokens, statistics: Set[Statistic], *, threads: int
) -> InputStatistics:
    """What enters the linear layers of the whole model. Errors: those of `Walk`."""
    walk = Walk(model, windows, threads=threads)
    found = InputStatistics({}, {}, 0)
    between: list[tuple[int, Floats]] = []
    cosine: dict[tuple[int, int], float] = {}
    for block in walk.blocks:
        inputs = walk.through(block, weights, statistics)
        # A weight that is used twice is observed where it is used first.
        squares, grams = {**inputs.mean_square, **found.mean_square}, {**inputs.gram, **found.gram}
        found = InputStatistics(squares, grams, inputs.tokens, {**inputs.few, **found.few}, cosine)
        if "cosine" in statistics and (here := walk.between) is not None:
            for earlier, left in between:
                if left.shape == here[1].shape:
                    cosine[earlier, here[0]] = mean_cosine(left, here[1])
            between = [*between[-1:], here]  # of a layer attention is one block, and the MLP the second
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

    def __init__(self, model: Model, windows: Tokens, *, threads: int, part_rows: int = PART_ROWS) -> None:
        """`part_rows`: so many rows at most go through a block together, but a window at least."""
        tokens = _checked(windows, model.dimensions.vocabulary)
        count, length = tokens.shape
        self._tokens, self._length = tokens.size, length
        self._placed = {one.block: one for one in place_blocks(model)}
        self._whole = Crossing(model, tokens, threads)
        step = max(1, part_rows // length)
        self._parts = [slice(first, min(first + step, count)) for first in range(0, count, step)]
        self._crossings = [Crossing(model, tokens[part], threads) for part in self._parts]
        self._threads = threads
        self._values: dict[int, Floats] = {}
        self.blocks = tuple(self._placed)

    @property
    def between(self) -> tuple[int, Floats] | None:
        """The one value that the windows have come down to, by its number; None where there are several."""
        return next(iter(self._values.items())) if len(self._values) == 1 else None

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
        if placed.not_native is not None or len(self._parts) == 1:
            # Which experts see few tokens is known of all of them together.
            notes = _Notes(statistics, self._threads)
            found = self._whole.cross(placed, weights, self._values, notes.take if statistics else None, notes.take_few)
            return notes.means(self._tokens), found
        total = _Notes(statistics, self._threads)
        leaving: dict[int, Floats] = {}
        weights = _Kept(weights)
        for part, crossing in zip(self._parts, self._crossings, strict=True):
            notes = _Notes(statistics, self._threads)
            given = {number: self._values[number][self._rows(number, part)] for number in placed.inputs}
            found = crossing.cross(placed, weights, given, notes.take if statistics else None)
            total.add(notes)
            for number, rows in found.items():
                if number not in leaving:
                    count = self._parts[-1].stop * (1 if self._whole.of_sequences(number) else self._length)
                    leaving[number] = np.empty((count, *rows.shape[1:]), np.float32)
                leaving[number][self._rows(number, part)] = rows
        return total.means(self._tokens), leaving

    def _rows(self, number: int, part: slice) -> slice:
        """Those of some windows in a value of all of them."""
        each = 1 if self._whole.of_sequences(number) else self._length
        return slice(part.start * each, part.stop * each)


class _Kept(Mapping[str, Encoded]):
    """Weights of a block, each looked up once however often windows go through it."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._known: dict[str, Encoded] = {}

    def __getitem__(self, name: str) -> Encoded:
        if name not in self._known:
            self._known[name] = self._weights[name]
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)


@dataclass
class _Sum:
    values: NDArray[np.float64]
    rows: int

    @property
    def mean(self) -> NDArray[np.float64]:
        return self.values / self.rows


class _Notes:
    """The statistics of one block as they come in, by the names of the weights that have one input."""

    def __init__(self, statistics: Set[Statistic], threads: int) -> None:
        self._statistics = statistics
        self._threads = threads
        self._squares: dict[tuple[str, ...], _Sum] = {}
        self._outer: dict[tuple[str, ...], _Sum] = {}
        self._few: dict[str, int] = {}

    def means(self, tokens: int) -> InputStatistics:
        return InputStatistics(_means(self._squares), _means(self._outer), tokens, self._few)

    def add(self, other: _Notes) -> None:
        """What was found of other rows."""
        for own, found in ((self._squares, other._squares), (self._outer, other._outer)):
            for names, total in found.items():
                before = own.setdefault(names, total)
                if before is not total:
                    before.values += total.values
                    before.rows += total.rows

    def take_few(self, name: str, rows: int) -> None:
        """So many rows go to the expert that has this weight, before others are shown to it."""
        self._few[name] = rows

    def take(self, names: Sequence[str], rows: Floats) -> None:
        """`rows` [rows, features] enter the linear layers of these weights."""
        if "mean_square" in self._statistics and (new := _new(names, self._squares)):
            self._squares[new] = _Sum(square_sums(rows), len(rows))
        if "gram" in self._statistics and (new := _new(names, self._outer)):
            self._outer[new] = _Sum(outer_sums(rows, self._threads), len(rows))


def _new(names: Sequence[str], known: Mapping[tuple[str, ...], _Sum]) -> tuple[str, ...]:
    return tuple(name for name in names if not any(name in others for others in known))


def _means(sums: Mapping[tuple[str, ...], _Sum]) -> dict[str, NDArray[np.float64]]:
    return {name: mean for names, total in sums.items() for mean in (total.mean,) for name in names}


def _checked(windows: Tokens, vocabulary: int) -> NDArray[np.int64]:
    lengths = {len(window) for window in windows}
    if len(lengths) != 1 or lengths == {0}:
        raise ParameterError("calibration windows", sorted(lengths), "must be at least one, all of one length over 0")
    tokens = np.array(windows, dtype=np.int64)
    if tokens.min() < 0 or tokens.max() >= vocabulary:
        raise ParameterError("calibration token", int(tokens.max()), f"must be from 0 to {vocabulary - 1}")
    return tokens
