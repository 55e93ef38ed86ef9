"""What becomes of a model's logits where a few of its weights are others: many such trials in one walk.

The rows of all windows go through the recorded graph block by block in float32 on the native engine. Each trial leaves
the common way at the block of its weights, and has rows of its own from there on: what lies before is computed once,
and the weights of a block are packed once for all. Trials that would hold too much together take turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honed.backends.native_piece import Piece, RowBatch, why_not
from honed.compress.blocks import Block, find_blocks
from honed.compress.divergence import Floats, Reference
from honed.compress.linears import HEAD, find_linears
from honed.compress.observe import Tokens, check_windows
from honed.encodings.base import Encoded
from honed.errors import UnsupportedError
from honed.models.base import Model
from honed.models.programs import LOGITS
from honed.models.recorded import main_graph
from honed.ops.graph import Graph
from honed.ops.table import Activate, Add, Gated, LayerNorm, Linear, RmsNorm, Scale, Select
from honed.ops.values import TOKEN_TYPES, TOKENS
from honed.plan.piece import cut_out, rows_name

HELD_BYTES = 1 << 30
"""Of the rows of all trials that are on their way together."""
MOST_LOGITS = 1 << 25
"""Logits that are compared, of each trial; rows are left out evenly where there would be more."""
_BY_ROW = (Activate, Add, Gated, LayerNorm, Linear, RmsNorm, Scale, Select)

Weights = Mapping[str, Encoded]
Values = dict[int, Floats]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Trial:
    """Weights of one block by the names of a recipe (a tied head under that of a head), made when they are needed. They
    run as they are stored, with activations as their encodings have them."""

    block: int
    make: Callable[[], Weights]


class TrialWalk:
    """ParameterError for windows that are ragged or out of vocabulary, UnsupportedError for a model that gives no
    logits or has an op that the native engine does not run."""

    def __init__(self, model: Model, weights: Weights, windows: Tokens, *, threads: int) -> None:
        """weights: of the whole model, a head that is apart from its table under its own name too."""
        graph = main_graph(model)
        if LOGITS not in graph.outputs:
            raise UnsupportedError("what storing a layer costs is told from logits, and this model gives none")
        self._linears = find_linears(model)
        self._weights, self._threads = weights, threads
        self._values = {statement.number: statement.value for statement in graph}
        self._blocks = find_blocks(graph)
        self._logits = graph.outputs[LOGITS]
        self._tokens = check_windows(windows, model.dimensions.vocabulary).astype(np.int32)
        for place in range(len(self._blocks)):
            reason = why_not(self._graph(place))
            if reason is not None:
                raise UnsupportedError(f"what storing a layer costs cannot be told of this model: {reason}")
        count = self._tokens.size
        kept = max(1, min(count, MOST_LOGITS // self._values[self._logits].width))
        self._kept = np.arange(kept, dtype=np.int64) * count // kept

    def divergences(self, trials: Sequence[Trial], progress: Progress | None = None) -> list[float]:
        """Of each trial KL(model || model with its weights), in nats a predicted token. `progress` is told of block
        passes done of all."""
        found = [0.0] * len(trials)
        order = sorted(range(len(trials)), key=lambda number: trials[number].block)
        steps, total = 0, sum(len(self._blocks) - trial.block for trial in trials)
        for part in self._turns(order):
            base: Values = {}
            carried: dict[int, Values] = {}
            for number, block in enumerate(self._blocks):
                starting = [trial for trial in part if trials[trial].block == number]
                carried |= self._through(number, block, base, carried, {one: trials[one] for one in starting})
                steps += len(carried)
                if progress is not None and carried:
                    progress(steps, total)
            reference = Reference(base[self._logits])
            for trial in part:
                found[trial] = reference.divergence(carried[trial][self._logits], threads=self._threads)
        return found

    def _turns(self, order: Sequence[int]) -> Iterable[list[int]]:
        """Trials that are on their way together."""
        widest = max(self._values[number].width for number in self._boundaries())
        logits = len(self._kept) * self._values[self._logits].width
        each = 4 * max(self._tokens.size * widest, logits)
        count = max(1, HELD_BYTES // each)
        return [list(order[first : first + count]) for first in range(0, len(order), count)]

    def _boundaries(self) -> set[int]:
        return {number for place in range(len(self._blocks)) for number in self._alive(place)} or {self._logits}

    def _through(
        self, place: int, block: Block, base: Values, carried: dict[int, Values], starting: Mapping[int, Trial]
    ) -> dict[int, Values]:
        """The base and all that is carried go through a block, in place; gives what starts there."""
        alive = self._alive(place)
        last = place == len(self._blocks) - 1
        graph = self._graph(place)
        by_row = last and all(isinstance(statement.operation, _BY_ROW) for statement in block.statements)
        given = self._compared(base) if by_row else base
        table = self._head_table(block)
        weights = _OfBlock(self._weights, table, {})

        def run(piece: Piece, values: Values) -> Values:
            rows = piece.run(self._batch(values, by_row=by_row))
            left = {number: rows[name] for name, number in graph.outputs.items()}
            if last:
                return left if by_row else self._compared(left)
            return {number: each for number, each in (values | left).items() if number in alive}

        rows = len(self._kept) if by_row else self._tokens.size
        started: dict[int, Values] = {}
        for number, trial in starting.items():
            made = trial.make()
            changed = _OfBlock(self._weights, table, made)
            names = frozenset(self._graph_name(name) for name in made)
            started[number] = run(Piece(graph, changed, rows, self._threads, as_stored=names), given)
        piece = Piece(graph, weights, rows, self._threads)
        for number, values in carried.items():
            carried[number] = run(piece, self._compared(values) if by_row else values)
        after = run(piece, given)
        base.clear()
        base.update(after)
        return started

    def _graph(self, place: int) -> Graph:
        """Of a block: what blocks after it read, of the last one the logits."""
        statements = self._blocks[place].statements
        own = {statement.number for statement in statements}
        last = place == len(self._blocks) - 1
        wanted = {self._logits} if last else own & self._alive(place)
        return cut_out(statements, self._values, sorted(wanted))

    def _compared(self, values: Values) -> Values:
        """The rows whose logits are compared."""
        return {number: np.ascontiguousarray(rows[self._kept]) for number, rows in values.items()}

    def _alive(self, place: int) -> frozenset[int]:
        """Values of this block and those before it that later ones read."""
        read = {
            number
            for block in self._blocks[place + 1 :]
            for statement in block.statements
            for number in statement.operation.inputs
        }
        made = {statement.number for block in self._blocks[: place + 1] for statement in block.statements}
        return frozenset(read & made)

    def _head_table(self, block: Block) -> str | None:
        """The table that a block multiplies with as a head."""
        linears = self._linears
        return linears.embedding.name if linears.tied and linears.embedding.name in block.linears else None

    def _graph_name(self, name: str) -> str:
        return self._linears.embedding.name if name == HEAD and self._linears.tied else name

    def _batch(self, values: Values, *, by_row: bool) -> RowBatch:
        windows, length = self._tokens.shape
        given: dict[str, NDArray[np.float32] | NDArray[np.int32]] = {
            rows_name(number): rows for number, rows in values.items()
        }
        if by_row:
            alone = np.arange(len(self._kept), dtype=np.int32)
            return RowBatch(given, np.zeros_like(alone), alone)
        tokens = self._tokens.reshape(-1)
        # What else there is to say of a token, such as its type, is 0 in running text.
        given |= {TOKENS: tokens, TOKEN_TYPES: np.zeros_like(tokens)}
        positions = np.tile(np.arange(length, dtype=np.int32), windows)
        return RowBatch(given, positions, np.repeat(np.arange(windows, dtype=np.int32), length))


class _OfBlock(Mapping[str, Encoded]):
    """Weights by the names of the graph: those of a trial, else those of the model, with a head that is apart from its
    table where that is multiplied with."""

    def __init__(self, weights: Weights, head_table: str | None, changed: Weights) -> None:
        self._weights, self._head_table, self._changed = weights, head_table, changed

    def __getitem__(self, name: str) -> Encoded:
        is_head = name == self._head_table
        found = self._changed.get(HEAD if is_head else name)
        if found is not None:
            return found
        return self._weights[HEAD if is_head and HEAD in self._weights else name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)
