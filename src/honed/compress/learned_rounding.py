"""Learns how the weights of a block are rounded by what the block gives (AutoRound).

Signed gradient descent on rounding offsets and ranges (`learned_grid.py`) so that the outputs of the block, with what
enters it, are nearest to those that it had: Cheng et al. 2023, "Optimize Weight Rounding via Signed Gradient Descent",
algorithm 1. The step falls linearly to zero, and of what was reached the best is kept.

In torch; a file that is imported only where a pass learns. Not here: who gives rows and weights
(`passes/auto_round.py`), and what ops mean (`ops/reference.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from honed.compress.block_rows import BlockRows, Floats
from honed.compress.learned_grid import LearnedGrid
from honed.encodings.column_grid import Gridded
from honed.ops.graph import Graph
from honed.ops.reference import GrowingStore, Rows, Step, run
from honed.ops.values import TOKEN_TYPES, TOKENS

_AT_ONCE = 2048
"""Rows that go through a block together where nothing is learned from them."""


@dataclass(frozen=True)
class Schedule:
    """iterations: steps, of `batch` windows each, drawn by `seed`. step, step_of_range: how far rounding offsets and
    ranges move in the first one. bfloat16: whether products are of bfloat16 while learning; they are of float32 where
    what was learned is compared. from_changed: whether rows enter that the blocks before, as changed, give."""

    iterations: int
    batch: int
    step: float
    step_of_range: float
    seed: int
    bfloat16: bool
    from_changed: bool


def learn(
    rows: BlockRows,
    weights: Mapping[str, NDArray[np.float32]],
    start: Mapping[str, Gridded],
    schedule: Schedule,
    threads: int,
) -> dict[str, Gridded]:
    """The matrices of `start`, rounded anew: the mean squared error of the outputs of the block, over all windows, is
    never larger than with them.

    `weights` are those of the block in full, by name; `start` has, for some, the rounded form to begin from. The same
    to the bit for the same number of threads on one machine. PlanError for an op without a meaning in torch.
    """
    with _of_threads(threads):
        return _Learning(rows, weights, start, schedule).run()


@contextmanager
def _of_threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Learning:
    def __init__(
        self,
        rows: BlockRows,
        weights: Mapping[str, NDArray[np.float32]],
        start: Mapping[str, Gridded],
        schedule: Schedule,
    ) -> None:
        self._schedule, self._graph = schedule, rows.graph
        self._weights = {name: torch.from_numpy(np.array(values)) for name, values in weights.items()}
        self._grids = {name: LearnedGrid(weights[name], like) for name, like in start.items()}
        self._learned = {name: grid.start() for name, grid in self._grids.items()}
        self._windows = _Windows(rows.changed if schedule.from_changed else rows.source, rows.tokens)
        self._aims = self._outputs(_Windows(rows.source, rows.tokens), self._weights)

    def run(self) -> dict[str, Gridded]:
        schedule = self._schedule
        random = np.random.default_rng(schedule.seed)
        first = self._errors()
        best, least = {name: one.clone() for name, one in self._learned.items()}, 1.0
        for iteration in range(schedule.iterations):
            count = min(schedule.batch, self._windows.count)
            chosen = np.sort(random.choice(self._windows.count, count, replace=False))
            loss, gradients = self._gradients(chosen)
            # Windows differ more than iterations do, so each is measured by what it began with.
            error = loss / max(float(first[chosen].mean()), 1e-30)
            if error < least:
                best, least = {name: one.clone() for name, one in self._learned.items()}, error
            left = 1 - iteration / schedule.iterations
            for name, gradient in gradients.items():
                self._grids[name].descend(
                    self._learned[name], gradient, schedule.step * left, schedule.step_of_range * left
                )
        last = self._errors()
        reached = self._learned
        self._learned = best
        found = min(
            (
                (float(first.mean()), 0, {name: grid.start() for name, grid in self._grids.items()}),
                (float(self._errors().mean()), 1, best),
                (float(last.mean()), 2, reached),
            ),
            key=lambda one: one[:2],
        )[2]
        return {name: grid.encoded(found[name]) for name, grid in self._grids.items()}

    def _rounded(self) -> dict[str, Tensor]:
        return {name: grid.values(self._learned[name]) for name, grid in self._grids.items()}

    def _gradients(self, chosen: NDArray[np.intp]) -> tuple[float, dict[str, Tensor]]:
        rounded = {name: values.requires_grad_() for name, values in self._rounded().items()}
        with torch.autocast("cpu", torch.bfloat16, enabled=self._schedule.bfloat16):
            given = _run(self._graph, {**self._weights, **rounded}, self._windows.batch(chosen))
        aims = self._aims[torch.from_numpy(chosen)]
        loss = (given.float().reshape(aims.shape) - aims).square().mean()
        names = list(rounded)
        found = torch.autograd.grad(loss, [rounded[name] for name in names])
        return float(loss.detach()), dict(zip(names, found, strict=True))

    def _errors(self) -> NDArray[np.float64]:
        """The mean squared error of each window with what is learned so far."""
        given = self._outputs(self._windows, {**self._weights, **self._rounded()})
        errors: NDArray[np.float64] = (given - self._aims).square().mean(dim=(1, 2)).double().numpy()
        return errors

    def _outputs(self, windows: _Windows, weights: Mapping[str, Tensor]) -> Tensor:
        """[windows, tokens, features of all that leaves the block]"""
        each = max(1, _AT_ONCE // windows.length)
        parts = []
        with torch.no_grad():
            for begin in range(0, windows.count, each):
                chosen = np.arange(begin, min(begin + each, windows.count))
                given = _run(self._graph, weights, windows.batch(chosen))
                parts.append(given.reshape(len(chosen), windows.length, -1))
        return torch.cat(parts)


class _Windows:
    """All rows that enter a block, by windows."""

    def __init__(self, rows: Mapping[str, Floats], tokens: NDArray[np.int64]) -> None:
        self.count, self.length = tokens.shape
        self._rows = {name: torch.from_numpy(each.reshape(*tokens.shape, -1)) for name, each in rows.items()}
        self._tokens = torch.from_numpy(tokens)

    def batch(self, chosen: NDArray[np.intp]) -> Rows:
        picked = torch.from_numpy(chosen)
        tokens = self._tokens[picked].flatten()
        rows = {name: each[picked].flatten(0, 1) for name, each in self._rows.items()}
        # What else there is to say of a token, such as its type, is 0 in running text.
        given = {TOKENS: tokens, TOKEN_TYPES: torch.zeros_like(tokens), **rows}
        return Rows.whole(given, [self.length] * len(chosen))


def _run(graph: Graph, weights: Mapping[str, Tensor], rows: Rows) -> Tensor:
    given = run(graph, Step(weights, rows, GrowingStore()))
    return torch.cat([given[name] for name in graph.outputs], dim=-1)
