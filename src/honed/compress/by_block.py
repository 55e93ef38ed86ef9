"""Applies a pass block by block: each is observed and changed before the next one is reached.

As everywhere, nothing is computed before a weight is asked for. Then the walk goes as far as the block of that weight:
each block on the way is observed with its weights as they were, changed, and gone through with those that it now has.
What is held is one value for all windows, the statistics of one block, and the weights that were made: of a pass that
encodes those are small, of one that does not they are the model in full.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

import numpy as np

from honed.compress.base import ModelState, Pass, Weights
from honed.compress.block_rows import BlockRows
from honed.compress.blocks import Block
from honed.compress.linears import HEAD, find_linears
from honed.compress.needs import InputStatistics, Observed
from honed.compress.observe import Tokens, Walk
from honed.compress.observed_blocks import cut_block
from honed.compress.weights import ChangedWeights
from honed.encodings.base import Encoded
from honed.plan.piece import rows_name


def apply_by_block(step: Pass, state: ModelState, calibration: Tokens, *, threads: int) -> ModelState:
    """The state after the last block. A pass may change the weights of the block that it is told of and nothing else of
    the model; the head that is encoded apart from its table is of the block that multiplies with it.

    Errors: those of the pass and of `Walk`.
    """
    walk = _ChangingWalk(step, state, calibration, threads=threads)
    source, made = state.weights, dict[str, Callable[[], Encoded]]()
    taken: set[str] = set()

    def changed(name: str) -> Encoded:
        return made[name]()

    for number, block in enumerate(walk.blocks):
        names = _weights_of(block, state) - taken
        taken |= names
        rows = partial(walk.rows, number) if "block_rows" in step.needs.statistics else None
        told = Observed(block.linears, partial(walk.inputs, number), rows)
        after = step.apply(state, told, threads=threads)
        made |= {name: cache(partial(after.weights.__getitem__, name)) for name in names}
        weights = ChangedWeights(source, changed, frozenset(made))
        state = replace(after, weights=weights, inputs=None)
        walk.changed.append(weights)
    return state


def _weights_of(block: Block, state: ModelState) -> set[str]:
    names = {weight.name for statement in block.statements for weight in statement.operation.weights}
    linears = find_linears(state.model)
    if linears.tied and linears.embedding.name in block.linears and HEAD in state.weights:
        names.add(HEAD)
    return names


class _ChangingWalk:
    """Goes on when a block is asked for that it has not reached."""

    def __init__(self, step: Pass, state: ModelState, calibration: Tokens, *, threads: int) -> None:
        self._walk, self._before, self._statistics = (
            Walk(state.model, calibration, threads=threads),
            state.weights,
            step.needs.statistics,
        )
        self._model, self._tokens = state.model, calibration
        # What enters blocks of which none is changed, beside what enters the changed ones.
        asked = "block_rows" in self._statistics
        self._unchanged = Walk(state.model, calibration, threads=threads) if asked else None
        self._reached = 0
        self._found: InputStatistics | None = None
        self.blocks = self._walk.blocks
        self.changed: list[Weights] = []
        """The weights after each block."""

    def inputs(self, number: int) -> InputStatistics:
        """What enters the linear layers of a block. Known until the next one is asked for: by then every weight of the
        block is made and kept."""
        self._reach(number)
        return self._look()

    def rows(self, number: int) -> BlockRows:
        """A block, and what enters it. As of `inputs`, and not kept."""
        self._reach(number)
        assert self._unchanged is not None  # of a pass that needs it
        block = self.blocks[number]
        source, changed = (
            {rows_name(value): rows for value, rows in walk.entering(block).items()}
            for walk in (self._unchanged, self._walk)
        )
        return BlockRows(cut_block(self._model, block), source, changed, np.array(self._tokens, np.int64))

    def _reach(self, number: int) -> None:
        while self._reached < number:
            self._look()  # whatever weight of the block is made on the way through asks for it
            block = self.blocks[self._reached]
            self._walk.through(block, self.changed[self._reached])
            if self._unchanged is not None:
                self._unchanged.through(block, self._before)
            self._reached, self._found = self._reached + 1, None
        if self._reached > number:
            raise RuntimeError(f"block {number} was left behind, and a weight of it is made only now")

    def _look(self) -> InputStatistics:
        if self._found is None:
            block = self.blocks[self._reached]
            self._found = self._walk.look_into(block, self._before, self._statistics)
        return self._found
