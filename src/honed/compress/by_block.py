"""Applies a pass block by block: each is observed and changed before the next one is reached.

As everywhere, nothing is computed before a weight is asked for. Then the walk goes as far as the block of that weight:
each block on the way is observed with its weights as they were, changed, and gone through with those that it now has.
What is held is one value for all windows, the statistics of one block, and the weights that were made: of a pass that
encodes those are small, of one that does not they are the model in full.

With a store each weight is kept there once it is made. A run that finds some there reads them instead, and observes no
block of which all are there: it only goes through it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from honed.compress.base import ModelState, Pass, Reshaping, Weights
from honed.compress.block_rows import BlockRows
from honed.compress.blocks import Block
from honed.compress.linears import HEAD, find_linears
from honed.compress.needs import InputStatistics, Observed
from honed.compress.observe import Tokens, Walk
from honed.compress.observed_blocks import cut_block
from honed.compress.outcome import check_outcome
from honed.compress.progress_store import MadeProgress, PassStore
from honed.compress.weights import ChangedWeights, DeferredWeight
from honed.encodings.base import Encoded
from honed.encodings.scheme import Scheme
from honed.plan.piece import rows_name


def apply_by_block(
    step: Pass,
    state: ModelState,
    calibration: Tokens,
    *,
    threads: int,
    store: PassStore | None = None,
    progress: MadeProgress | None = None,
) -> ModelState:
    """The state after the last block. A pass may change the weights of the block that it is told of and nothing else of
    the model, and shapes only at the end (`Reshaping`); the head that is encoded apart from its table is of the block
    that multiplies with it.

    Errors: those of the pass, of `Walk`, and OutcomeError for a weight that is not what was asked.
    """
    made = _MadeWeights(step.settings.kind, store, progress)
    walk = _ChangingWalk(step, state, calibration, made, threads=threads)
    source, names_of_all = state.weights, set[str]()
    directory = None if store is None else store.directory
    for number, block in enumerate(walk.blocks):
        names = _weights_of(block, state) - names_of_all
        names_of_all |= names
        rows = partial(walk.rows, number) if "block_rows" in step.needs.statistics else None
        observed = Observed(block.linears, partial(walk.inputs, number), directory=directory, rows=rows)
        after = step.apply(state, observed, threads=threads)
        walk.names.append(made.announce(names, state, after))
        weights = ChangedWeights(source, made.weight, frozenset(names_of_all))
        state = replace(after, weights=weights, inputs=None)
        walk.changed.append(weights)
    return step.finish(state) if isinstance(step, Reshaping) else state


def _weights_of(block: Block, state: ModelState) -> set[str]:
    names = {weight.name for statement in block.statements for weight in statement.operation.weights}
    linears = find_linears(state.model)
    if linears.tied and linears.embedding.name in block.linears and HEAD in state.weights:
        names.add(HEAD)
    return names


class _MadeWeights:
    """The weights of all blocks so far. What the pass changes is made once, and kept here and in the store."""

    def __init__(self, step: str, store: PassStore | None, progress: MadeProgress | None) -> None:
        self._step, self._store, self._progress = step, store, progress
        self._makes: dict[str, Callable[[], Encoded]] = {}
        self._checks: dict[str, Callable[[Encoded], None]] = {}
        self._known: dict[str, Encoded] = {}
        self._changed: set[str] = set()
        self._finished: set[str] = set()

    def announce(self, names: set[str], before: ModelState, after: ModelState) -> frozenset[str]:
        """The weights of the next block. Gives the names of those that the pass changes."""
        found = after.weights.changed_since(before.weights) if isinstance(after.weights, ChangedWeights) else names
        changed = frozenset(names & found)
        self._changed |= changed
        for name in names:
            self._makes[name] = partial(after.weights.__getitem__, name)
        weights = after.model.weights()
        for name in changed:
            shape = (weights.get(name) or find_linears(after.model).embedding).shape  # of a head apart from its table
            self._checks[name] = partial(_check, self._step, name, shape, after.schemes.get(name))
        return changed

    def weight(self, name: str) -> Encoded:
        if name not in self._known:
            kept = self._kept(name) if name in self._changed else None
            if kept is None:
                kept = self._makes[name]()
                if name in self._changed:
                    kept = self._deferred(name, kept) if isinstance(kept, DeferredWeight) else self._keep(name, kept)
            self._known[name] = kept
        return self._known[name]

    def are_finished(self, names: frozenset[str]) -> bool:
        """Whether all of these are made, or were by an earlier run."""
        for name in names - self._finished:
            kept = self._kept(name)
            if kept is None:
                return False
            self._known[name] = kept
        return True

    def _deferred(self, name: str, made: DeferredWeight) -> DeferredWeight:
        return DeferredWeight(made.source, lambda: self._keep(name, made.resolve()))

    def _kept(self, name: str) -> Encoded | None:
        kept = None if self._store is None or name in self._finished else self._store.load(name)
        if kept is not None:
            self._checks[name](kept)
            self._finish(name)
        return kept

    def _keep(self, name: str, weight: Encoded) -> Encoded:
        self._checks[name](weight)
        if self._store is not None:
            self._store.save(name, weight)
        self._finish(name)
        return weight

    def _finish(self, name: str) -> None:
        self._finished.add(name)
        if self._progress is not None:
            self._progress(self._step, len(self._finished), len(self._changed))


def _check(step: str, name: str, shape: tuple[int, ...], scheme: Scheme | None, weight: Encoded) -> None:
    check_outcome(step, name, weight, shape, scheme)


class _ChangingWalk:
    """Goes on when a block is asked for that it has not reached."""

    def __init__(self, step: Pass, state: ModelState, calibration: Tokens, made: _MadeWeights, *, threads: int) -> None:
        self._walk, self._before, self._statistics = (
            Walk(state.model, calibration, threads=threads),
            state.weights,
            step.needs.statistics,
        )
        self._made = made
        self._model, self._tokens = state.model, calibration
        # What enters blocks of which none is changed, beside what enters the changed ones.
        asked = "block_rows" in self._statistics
        self._unchanged = Walk(state.model, calibration, threads=threads) if asked else None
        self._reached = 0
        self._found: InputStatistics | None = None
        self.blocks = self._walk.blocks
        self.names: list[frozenset[str]] = []
        """Of the weights that each block has changed."""
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
            if not self._made.are_finished(self.names[self._reached]):
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
