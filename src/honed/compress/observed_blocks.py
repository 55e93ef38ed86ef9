"""The two ways through a block of a model while what enters its linear layers is looked at: on the native engine, and
in numpy where a block has an op that the native plan does not know.

Values are [rows, features], those of all windows one after the other. Not here: what is noted of rows (`observe.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from honed.backends.native_piece import RowBatch, run_piece, why_not
from honed.compress.blocks import Block, find_blocks
from honed.compress.observed_ops import NUMPY, Floats, Step
from honed.encodings.base import Encoded
from honed.models.base import Model
from honed.models.recorded import main_graph
from honed.ops.graph import Graph
from honed.ops.table import Linear, Route
from honed.ops.values import TOKEN_TYPES, TOKENS
from honed.plan.piece import cut_out, rows_name

Weights = Mapping[str, Encoded]
Note = Callable[[Sequence[str], Floats], None]
"""Is shown rows and the weights of the linear layers that they enter."""
NoteFew = Callable[[str, int], None]
"""Is told of the weight of an expert that few rows go to, and how many."""


@dataclass(frozen=True)
class PlacedBlock:
    """A block, and the values that go in and out: `inputs` come from blocks before, `leaving` are read by blocks after
    it. `taps` enter its linear layers: with the names of their weights, each where it is used first. `alive`: all
    values, of this block or others, that blocks after it read."""

    block: Block
    inputs: tuple[int, ...]
    leaving: tuple[int, ...]
    taps: Mapping[int, tuple[str, ...]]
    alive: frozenset[int]
    not_native: str | None
    """Why the native engine does not run it."""


def place_blocks(model: Model) -> tuple[PlacedBlock, ...]:
    """The blocks of the main graph of a model. PlanError for an op that neither way knows."""
    placed = _placed(model)
    for one in placed:
        if one.not_native is not None:
            NUMPY.check(Graph(one.block.statements, {}))
    return placed


def cut_block(model: Model, block: Block) -> Graph:
    """The block as a graph of its own: it reads what enters by `rows_name`, and gives so what leaves it, or what it
    gives of the results of the model, with a row for each token. What is made of selected rows or texts is left out."""
    graph = main_graph(model)
    values = {statement.number: statement.value for statement in graph}
    own = {statement.number for statement in block.statements}
    (placed,) = (one for one in _placed(model) if one.block is block)
    wanted = placed.leaving or tuple(number for number in graph.outputs.values() if number in own)
    return cut_out(block.statements, values, dict.fromkeys(one for one in wanted if values[one].rows == "tokens"))


@lru_cache(maxsize=8)
def _placed(model: Model) -> tuple[PlacedBlock, ...]:
    graph = main_graph(model)
    values = {statement.number: statement.value for statement in graph}
    blocks = find_blocks(graph)
    later = [frozenset[int]()]  # from the last block on
    for block in reversed(blocks):
        later.append(later[-1] | _read(block))
    placed: list[PlacedBlock] = []
    known: set[int] = set()
    for block, read_after in zip(blocks, reversed(later[:-1]), strict=True):
        own = {statement.number for statement in block.statements}
        taps = _taps(block)
        leaving = sorted(own & read_after)
        reason = _experts(block) or why_not(cut_out(block.statements, values, dict.fromkeys((*leaving, *taps))))
        known |= own
        inputs = tuple(sorted(_read(block) - own))
        placed.append(PlacedBlock(block, inputs, tuple(leaving), taps, read_after & known, reason))
    return tuple(placed)


def _experts(block: Block) -> str | None:
    # The engine gives an expert its own rows and no others.
    routed = any(isinstance(statement.operation, Route) for statement in block.statements)
    return "experts that few tokens go to are shown others too" if routed else None


def _read(block: Block) -> frozenset[int]:
    return frozenset(number for statement in block.statements for number in statement.operation.inputs)


def _taps(block: Block) -> dict[int, tuple[str, ...]]:
    found: dict[str, int] = {}
    for statement in block.statements:
        if isinstance(statement.operation, Linear):
            found.setdefault(statement.operation.weight.name, statement.operation.inputs[0])
    return {value: tuple(name for name in found if found[name] == value) for value in dict.fromkeys(found.values())}


class Crossing:
    """Goes through blocks of one model with windows, `tokens` [windows, tokens of each]: all of them, or a part."""

    def __init__(self, model: Model, tokens: NDArray[np.int64], threads: int) -> None:
        self._graph = main_graph(model)
        self._values = {statement.number: statement.value for statement in self._graph}
        self._tokens = tokens
        self._threads = threads

    def of_sequences(self, number: int) -> bool:
        """Whether a value has a row for each window instead of one for each token."""
        return self._values[number].rows == "sequences"

    def cross(
        self,
        placed: PlacedBlock,
        weights: Weights,
        before: Mapping[int, Floats],
        note: Note | None,
        note_few: NoteFew = lambda name, rows: None,
    ) -> dict[int, Floats]:
        """The values that leave the block. `before` has its inputs; without `note` nothing is looked at."""
        if placed.not_native is None:
            return self._natively(placed, weights, before, note)
        return self._in_numpy(placed, weights, before, note, note_few)

    def _natively(
        self, placed: PlacedBlock, weights: Weights, before: Mapping[int, Floats], note: Note | None
    ) -> dict[int, Floats]:
        taps = {} if note is None else placed.taps
        wanted = dict.fromkeys((*placed.leaving, *taps))
        if not wanted:
            return {}
        graph = cut_out(placed.block.statements, self._values, wanted)
        rows = run_piece(graph, weights, self._batch(placed.inputs, before), self._threads)
        if note is not None:
            for number, names in taps.items():
                note(names, rows[rows_name(number)])
        return {number: rows[rows_name(number)] for number in placed.leaving}

    def _batch(self, inputs: Sequence[int], before: Mapping[int, Floats]) -> RowBatch:
        windows, length = self._tokens.shape
        tokens = self._tokens.reshape(-1).astype(np.int32)
        given: dict[str, NDArray[np.float32] | NDArray[np.int32]] = {
            rows_name(number): before[number] for number in inputs
        }
        if any(map(self.of_sequences, inputs)):
            return RowBatch(given, np.zeros(windows, np.int32), np.arange(windows, dtype=np.int32))
        # What else there is to say of a token, such as its type, is 0 in running text.
        given |= {TOKENS: tokens, TOKEN_TYPES: np.zeros_like(tokens)}
        positions = np.tile(np.arange(length, dtype=np.int32), windows)
        return RowBatch(given, positions, np.repeat(np.arange(windows, dtype=np.int32), length))

    def _in_numpy(
        self,
        placed: PlacedBlock,
        weights: Weights,
        before: Mapping[int, Floats],
        note: Note | None,
        note_few: NoteFew,
    ) -> dict[int, Floats]:
        windows = self._tokens.shape[0]

        def shown(name: str, x: Floats) -> None:
            if note is not None:
                note((name,), x.reshape(-1, x.shape[-1]))

        users = self._graph.users()
        unread = frozenset(
            statement.operation for statement in placed.block.statements if statement.number not in users
        )
        values = {
            number: before[number].reshape(
                (windows, -1) if self.of_sequences(number) else (windows, -1, before[number].shape[-1])
            )
            for number in placed.inputs
        }
        step = Step(self._tokens, lambda name: weights[name].decode(), shown, unread, note_few)
        NUMPY.advance(self._graph, placed.block.statements, step, values)
        return {number: values[number].reshape(-1, values[number].shape[-1]) for number in placed.leaving}
