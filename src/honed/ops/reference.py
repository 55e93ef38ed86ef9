"""What each op of the vocabulary means, in torch: float32, one function an op, differentiable.

The oracle of the tests, and what training goes through. `run` walks a recorded graph with these functions. Not here:
speed, and where keys and values are kept between steps, which is a `KvStore`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from honed.errors import ParameterError
from honed.ops.graph import Graph
from honed.ops.run import Meanings
from honed.ops.table import (
    Activate,
    Add,
    Attention,
    Combine,
    Dispatch,
    Embedding,
    ExpertLinear,
    FloatRows,
    Gated,
    LayerNorm,
    Linear,
    Pool,
    RmsNorm,
    Rope,
    Route,
    Scale,
    Select,
)
from honed.ops.values import GATE_LIMIT, GATE_SLOPE, POSITIONS, TOKENS, Activation, AttentionSpec


@dataclass(frozen=True)
class Rows:
    """A ragged batch of T rows. inputs: what the program reads by name, int64 [T] of ids and float32 [T, width] of
    rows; positions, sequences: int64 [T]; selected: int64 [R], indices into the T rows.

    Sequences are numbered from 0, each with rows, which stand in ascending position.
    """

    inputs: Mapping[str, Tensor]
    positions: Tensor
    sequences: Tensor
    selected: Tensor

    @staticmethod
    def single(tokens: Tensor, first_position: int = 0) -> Rows:
        """One sequence, logits of every token."""
        count = tokens.numel()
        return Rows(
            inputs={TOKENS: tokens.reshape(-1).long()},
            positions=torch.arange(first_position, first_position + count),
            sequences=torch.zeros(count, dtype=torch.long),
            selected=torch.arange(count),
        )

    @staticmethod
    def whole(inputs: Mapping[str, Tensor], lengths: Sequence[int], selected: Tensor | None = None) -> Rows:
        """Whole sequences of these lengths, back to back; selected: as of `Rows`, None for no row."""
        return Rows(
            inputs=inputs,
            positions=torch.cat([torch.arange(length) for length in lengths] or [torch.arange(0)]),
            sequences=torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths, dtype=torch.long)),
            selected=torch.arange(0) if selected is None else selected,
        )

    def input(self, name: str) -> Tensor:
        """One that a program reads. ParameterError where the batch has none of that name."""
        if name == POSITIONS:
            return self.positions
        if name not in self.inputs:
            raise ParameterError(
                "inputs of the batch", sorted(self.inputs), f"must have {name}, which the program reads"
            )
        return self.inputs[name]

    def of_sequences(self) -> list[Tensor]:
        """The rows of each sequence, in order."""
        count = int(self.sequences.max()) + 1 if self.sequences.numel() else 0
        return [torch.nonzero(self.sequences == sequence).flatten() for sequence in range(count)]


class KvStore(Protocol):
    """Keys and values of earlier steps."""

    def extend(self, cache: int, sequence: int, positions: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Adds k and v, [N, kv_heads, head_dim], of consecutive `positions` and gives those of positions 0 to the last.

        Both results are [length, kv_heads, head_dim].
        """


class GrowingStore:
    """Keeps one growing tensor a cache and sequence; gradients flow through it."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def extend(self, cache: int, sequence: int, positions: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        earlier = self._kept.get((cache, sequence))
        if earlier is not None:
            first = int(positions[0])
            k = torch.cat((earlier[0][:first], k))
            v = torch.cat((earlier[1][:first], v))
        self._kept[cache, sequence] = (k, v)
        return k, v


@dataclass(frozen=True)
class Step:
    """What holds for all ops of a step.

    `weights` maps names to float32 tensors. `tables` does so for embedding tables that are not the weight of the same
    name that `Linear` uses: those of a model whose tied head is encoded apart.
    """

    weights: Mapping[str, Tensor]
    rows: Rows
    store: KvStore
    tables: Mapping[str, Tensor] = field(default_factory=dict)


TORCH: Meanings[Step, Tensor] = Meanings("ops/reference.py")
"""The functions by op: `TORCH.of` registers one."""


def run(graph: Graph, step: Step) -> dict[str, Tensor]:
    """The results of the graph; gradients flow to the weights."""
    return TORCH.run(graph, step)


@TORCH.of(Embedding)
def embedding(op: Embedding, step: Step) -> Tensor:
    table = step.tables.get(op.table.name)
    rows = step.rows.input(op.ids) + op.first_row
    return torch.nn.functional.embedding(rows, step.weights[op.table.name] if table is None else table)


@TORCH.of(FloatRows)
def float_rows(op: FloatRows, step: Step) -> Tensor:
    return step.rows.input(op.rows)


@TORCH.of(Linear)
def linear(op: Linear, step: Step, x: Tensor) -> Tensor:
    bias = None if op.bias is None else step.weights[op.bias.name]
    return torch.nn.functional.linear(x, step.weights[op.weight.name], bias)


@TORCH.of(RmsNorm)
def rms_norm(op: RmsNorm, step: Step, x: Tensor) -> Tensor:
    runs = x.reshape(*x.shape[:-1], -1, *op.weight.shape)
    scale = torch.rsqrt(runs.square().mean(-1, keepdim=True) + op.eps)
    normed: Tensor = runs * scale * step.weights[op.weight.name]
    return normed.reshape(x.shape)


@TORCH.of(LayerNorm)
def layer_norm(op: LayerNorm, step: Step, x: Tensor) -> Tensor:
    bias = None if op.bias is None else step.weights[op.bias.name]
    return torch.nn.functional.layer_norm(x, op.weight.shape, step.weights[op.weight.name], bias, op.eps)


@TORCH.of(Rope)
def rope(op: Rope, step: Step, x: Tensor) -> Tensor:
    frequencies = torch.tensor(op.rotary.inverse_frequencies, dtype=torch.float32, device=x.device)
    angles = step.rows.positions[:, None].to(torch.float32) * frequencies
    cos = (angles.cos() * op.rotary.attention_factor)[:, None]
    sin = (angles.sin() * op.rotary.attention_factor)[:, None]
    heads = x.reshape(*x.shape[:-1], -1, op.head_dim)
    width = 2 * frequencies.numel()
    turning, rest = heads[..., :width], heads[..., width:]
    if op.rotary.interleaved:
        first, second = turning[..., 0::2], turning[..., 1::2]
    else:
        first, second = turning.chunk(2, dim=-1)
    turned = (first * cos - second * sin, second * cos + first * sin)
    pairs = torch.stack(turned, dim=-1).flatten(-2) if op.rotary.interleaved else torch.cat(turned, dim=-1)
    return torch.cat((pairs, rest), dim=-1).flatten(-2)


@TORCH.of(Attention)
def attention(op: Attention, step: Step, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    queries, keys, values = (x.reshape(x.shape[0], -1, op.spec.head_dim) for x in (q, k, v))
    parts, order = [], []
    for sequence, own in enumerate(step.rows.of_sequences()):
        if not own.numel():
            continue
        positions = step.rows.positions[own]
        seen, of_seen, at = keys[own], values[own], positions
        if op.cache is not None:
            seen, of_seen = step.store.extend(op.cache, sequence, positions, seen, of_seen)
            at = torch.arange(seen.shape[0], device=q.device)
        distance = at - positions[:, None]
        mixing = _mixing(op.spec, step.weights, queries[own], seen, distance)
        parts.append(torch.einsum("nkgl,lkd->nkgd", mixing, of_seen).flatten(1, 2))
        order.append(own)
    if not parts:
        return q
    return torch.cat(parts)[torch.cat(order).argsort()].flatten(-2)


def _mixing(spec: AttentionSpec, weights: Mapping[str, Tensor], q: Tensor, k: Tensor, distance: Tensor) -> Tensor:
    """q [N, heads, d] over k [L, kv_heads, d]; distance [N, L] from row to key. How much of each value comes into each
    row: [N, kv_heads, group, L]."""
    heads = q.shape[1]
    grouped = q.reshape(q.shape[0], k.shape[1], -1, q.shape[2])
    scores = torch.einsum("nkgd,lkd->nkgl", grouped, k).flatten(1, 2) * spec.scale
    if spec.soft_cap is not None:
        scores = torch.tanh(scores / spec.soft_cap) * spec.soft_cap
    if spec.bias is not None:
        reach = spec.bias.reach
        by_head = weights[spec.bias.weight.name].reshape(heads, -1)
        scores = scores + by_head[:, distance.clamp(-reach, reach) + reach].transpose(0, 1)
    hidden = torch.zeros_like(distance, dtype=torch.bool)
    if spec.before is not None:
        hidden |= distance < -spec.before
    if spec.after is not None:
        hidden |= distance > spec.after
    scores = scores.masked_fill(hidden[:, None, :], float("-inf"))
    if spec.sinks is not None:
        sinks = weights[spec.sinks.name].expand(len(scores), heads)[..., None]
        mixing = torch.cat((scores, sinks), dim=-1).softmax(-1)[..., :-1]
    else:
        mixing = scores.softmax(-1)
    return mixing.reshape(*grouped.shape[:3], -1)


ACTIVATED: dict[Activation, Callable[[Tensor], Tensor]] = {
    "silu": torch.nn.functional.silu,
    "gelu_tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
    "gelu": torch.nn.functional.gelu,
    "tanh": torch.tanh,
    "relu": torch.relu,
}


@TORCH.of(Gated)
def gated(op: Gated, step: Step, gate: Tensor, up: Tensor) -> Tensor:
    if op.activation == "clamped_silu":
        gate, up = gate.clamp(max=GATE_LIMIT), up.clamp(-GATE_LIMIT, GATE_LIMIT)
        return gate * torch.sigmoid(GATE_SLOPE * gate) * (up + 1)
    return ACTIVATED[op.activation](gate) * up


@TORCH.of(Activate)
def activate(op: Activate, step: Step, x: Tensor) -> Tensor:
    return ACTIVATED[op.activation](x)


@TORCH.of(Add)
def add(op: Add, step: Step, a: Tensor, b: Tensor) -> Tensor:
    return a + b


@TORCH.of(Route)
def route(op: Route, step: Step, scores: Tensor) -> Tensor:
    """The numbers of the experts as float32, then what each counts: [rows, 2 * chosen]."""
    order = torch.sort(scores.detach(), dim=-1, descending=True, stable=True).indices
    numbers = torch.sort(order[:, : op.chosen], dim=-1).values
    match op.scoring:
        case "softmax":
            counts = scores.softmax(-1).gather(-1, numbers)
        case "softmax_of_chosen":
            counts = scores.gather(-1, numbers).softmax(-1)
        case "sigmoid":
            counts = scores.gather(-1, numbers).sigmoid()
    return torch.cat((numbers.to(scores.dtype), counts), dim=-1)


@TORCH.of(Dispatch)
def dispatch(op: Dispatch, step: Step, x: Tensor, routing: Tensor) -> Tensor:
    return x.repeat_interleave(routing.shape[1] // 2, dim=0)


@TORCH.of(ExpertLinear)
def expert_linear(op: ExpertLinear, step: Step, x: Tensor, routing: Tensor) -> Tensor:
    experts = routing[:, : routing.shape[1] // 2].detach().long().flatten()
    result = x.new_zeros(len(x), op.matrices[0].shape[0])
    for expert, matrix in enumerate(op.matrices):
        own = torch.nonzero(experts == expert).flatten()
        if len(own):
            bias = step.weights[op.biases[expert].name] if op.biases else None
            product = torch.nn.functional.linear(x[own], step.weights[matrix.name], bias)
            result = result.index_copy(0, own, product)
    return result


@TORCH.of(Combine)
def combine(op: Combine, step: Step, x: Tensor, routing: Tensor) -> Tensor:
    counts = routing[:, routing.shape[1] // 2 :]
    return (x.reshape(*counts.shape, -1) * counts[..., None]).sum(dim=1)


@TORCH.of(Scale)
def scale(op: Scale, step: Step, x: Tensor) -> Tensor:
    return x * op.factor


@TORCH.of(Select)
def select(op: Select, step: Step, x: Tensor) -> Tensor:
    return x[step.rows.selected]


@TORCH.of(Pool)
def pool(op: Pool, step: Step, x: Tensor) -> Tensor:
    rows = [x[own] for own in step.rows.of_sequences()]
    match op.pooling:
        case "mean":
            pooled = [own.mean(dim=0) for own in rows]
        case "first":
            pooled = [own[0] for own in rows]
        case "last":
            pooled = [own[-1] for own in rows]
    return torch.stack(pooled) if pooled else x
