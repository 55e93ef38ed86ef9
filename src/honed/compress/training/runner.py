"""Runs a decoder on windows of tokens, or on texts of any lengths, for training: rows up to its head, and logits of
some of them at a time.

The logits of all rows are never held: of a large vocabulary they are more than all else together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from honed.compress.blocks import find_blocks
from honed.compress.training.meanings import TRAINED, Texts, WindowStep, text_step, window_step
from honed.errors import UnsupportedError
from honed.models.base import Model
from honed.models.programs import LOGITS, STEP
from honed.models.recorded import recorded
from honed.ops.graph import Graph, Statement
from honed.ops.table import Attention, Select


@dataclass(frozen=True)
class Passed:
    """rows [windows * tokens, width] enter the head. layers: rows behind each layer that was asked for. maps: of each
    attention op, in order, if they were."""

    rows: Tensor
    layers: Mapping[int, Tensor]
    maps: tuple[Tensor, ...]


class Runner:
    """A model without its weights. UnsupportedError for one without logits, or with more than one selection of rows;
    PlanError for an op without a meaning in training."""

    def __init__(self, model: Model, dtype: torch.dtype, *, checkpointing: bool = False) -> None:
        if STEP not in model.programs():
            raise UnsupportedError(f"{type(model).__name__}: gives no logits, and those are what is learned from")
        graph = recorded(model, STEP).giving(LOGITS)
        TRAINED.check(Graph(tuple(one for one in graph if not isinstance(one.operation, Select)), {}))
        selects = [one for one in graph if isinstance(one.operation, Select)]
        if len(selects) != 1:
            raise UnsupportedError(f"{type(model).__name__}: selects rows {len(selects)} times; training knows once")
        self._dtype, self._select, self._logits = dtype, selects[0], graph.outputs[LOGITS]
        (self._top,) = selects[0].operation.inputs
        after = [one for one in graph if one.value.rows == "selected" and one is not selects[0]]
        self._head = Graph(tuple(after), {LOGITS: self._logits})
        body = tuple(one for one in graph if one.value.rows != "selected")
        self._ends = _layer_ends(graph, body, self._top)
        self._body = Graph(body, {"top": self._top})
        self._widths = tuple(graph.by_number()[number].value.width for number in self._ends)
        self.vocabulary = graph.output(LOGITS).value.width
        self._checkpointing = checkpointing
        self._blocks = [tuple(one for one in block.statements if one in set(body)) for block in find_blocks(graph)]

    @property
    def layers(self) -> int:
        return len(self._ends)

    @property
    def widths(self) -> tuple[int, ...]:
        """Columns of the rows behind each layer."""
        return self._widths

    @property
    def bytes(self) -> int:
        """Of a logit."""
        return self._dtype.itemsize

    def rows(
        self,
        weights: Mapping[str, Tensor],
        tokens: Tensor | Texts,
        *,
        layers: frozenset[int] = frozenset(),
        maps: bool = False,
    ) -> Passed:
        """tokens [windows, tokens of each] int64, or texts; `layers` that are asked for, from 0; whether maps are,
        which windows have."""
        found: list[Tensor] | None = [] if maps else None
        if isinstance(tokens, Texts):
            step = text_step(weights, tokens, self._dtype)
        else:
            step = window_step(weights, tokens, self._dtype, found)
        wanted = {layer: self._ends[layer] for layer in sorted(layers)}
        kept = {self._top, *wanted.values()}
        values: dict[int, Tensor] = {}
        if self._checkpointing and torch.is_grad_enabled():
            self._by_block(step, values, kept)
        else:
            TRAINED.advance(_keeping(self._body.statements, kept), self._body.statements, step, values)
        of_layers = {layer: values[number] for layer, number in wanted.items()}
        return Passed(values[self._top], of_layers, tuple(found or ()))

    def logits(self, weights: Mapping[str, Tensor], rows: Tensor) -> Tensor:
        """[rows, vocabulary] of some rows that enter the head."""
        step = window_step(weights, torch.zeros(len(rows), 1, dtype=torch.long, device=rows.device), self._dtype)
        values = {self._select.number: rows, self._top: rows}
        TRAINED.advance(self._head, self._head.statements, step, values)
        return values[self._logits]

    def _by_block(self, step: WindowStep, values: dict[int, Tensor], kept: set[int]) -> None:
        later: list[set[int]] = [kept]
        for block in reversed(self._blocks):
            later.append(later[-1] | {number for one in block for number in one.operation.inputs})
        for block, read_after in zip(self._blocks, reversed(later[:-1]), strict=True):
            own = {one.number for one in block}
            inputs = sorted({number for one in block for number in one.operation.inputs} - own)
            leaving = sorted(own & read_after)
            graph = _keeping(block, set(leaving))

            def run(
                *given: Tensor,
                _graph: Graph = graph,
                _inputs: list[int] = inputs,
                _leaving: list[int] = leaving,
            ) -> tuple[Tensor, ...]:
                inside = dict(zip(_inputs, given, strict=True))
                TRAINED.advance(_graph, _graph.statements, step, inside)
                return tuple(inside[number] for number in _leaving)

            given = [values[number] for number in inputs]
            left = checkpoint(run, *given, use_reentrant=False, preserve_rng_state=False)
            assert left is not None
            values.update(zip(leaving, left, strict=True))
            for number in [number for number in values if number not in read_after]:
                del values[number]


def _keeping(statements: tuple[Statement, ...], kept: set[int]) -> Graph:
    return Graph(statements, {f"value {number}": number for number in kept})


def _layer_ends(graph: Graph, body: tuple[Statement, ...], top: int) -> tuple[int, ...]:
    """The value behind each layer: what alone is left where the block of the next attention op begins; behind the last
    one, what enters the block of the head, or the head where that block has no other rows of its own."""
    own = {one.number for one in body}
    ends: list[int] = []
    seen: set[int] = set()
    blocks = find_blocks(graph)
    for block in blocks:
        attends = any(isinstance(one.operation, Attention) for one in block.statements)
        if attends and ends:
            ends[-1] = _entering(block.statements, seen)
        seen |= {one.number for one in block.statements}
        if attends:
            ends.append(-1)
    last = blocks[-1].statements
    before = seen - {one.number for one in last}
    inside = any(isinstance(one.operation, Attention) for one in last)
    if ends:
        ends[-1] = top if inside else _entering(last, before)
    return tuple(end for end in ends if end in own)


def _entering(statements: tuple[Statement, ...], before: set[int]) -> int:
    """The value that comes into a block; where several do, that of the latest statement."""
    return max(number for one in statements for number in one.operation.inputs if number in before)
