"""What each op of the vocabulary means, in torch: float32, one op at a time, differentiable.

The oracle of the tests and the model that calibration and distillation run. Not here: speed, and where keys and
values are kept between steps, which is a `KvStore`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from honed.ops.table import Activation, Rotary, Weight


@dataclass(frozen=True)
class Rows:
    """A ragged batch. tokens, positions, sequences: int64 [T]; selected: int64 [R], indices into the T rows.

    The rows of one sequence stand in ascending position.
    """

    tokens: Tensor
    positions: Tensor
    sequences: Tensor
    selected: Tensor

    @staticmethod
    def single(tokens: Tensor, first_position: int = 0) -> Rows:
        """One sequence, logits of every token."""
        count = tokens.numel()
        return Rows(
            tokens=tokens.reshape(-1).long(),
            positions=torch.arange(first_position, first_position + count),
            sequences=torch.zeros(count, dtype=torch.long),
            selected=torch.arange(count),
        )


class KvStore(Protocol):
    """Keys and values of earlier steps."""

    def extend(self, layer: int, sequence: int, positions: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Adds k and v, [N, kv_heads, head_dim], of consecutive `positions` and gives those of positions 0 to the last.

        Both results are [length, kv_heads, head_dim].
        """


class GrowingStore:
    """Keeps one growing tensor a layer and sequence; gradients flow through it."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def extend(self, layer: int, sequence: int, positions: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        earlier = self._kept.get((layer, sequence))
        if earlier is not None:
            first = int(positions[0])
            k = torch.cat((earlier[0][:first], k))
            v = torch.cat((earlier[1][:first], v))
        self._kept[layer, sequence] = (k, v)
        return k, v


class Reference:
    """`honed.ops.table.Ops` over torch tensors.

    `weights` maps names to float32 tensors. `tables` does so for embedding tables that are not the weight of the same
    name that `linear` uses: those of a model whose tied head is encoded apart.
    """

    def __init__(
        self, weights: Mapping[str, Tensor], rows: Rows, store: KvStore, tables: Mapping[str, Tensor] | None = None
    ) -> None:
        self.weights = weights
        self.rows = rows
        self.store = store
        self.tables = tables or {}

    def embedding(self, table: Weight) -> Tensor:
        values = self.tables.get(table.name)
        return torch.nn.functional.embedding(self.rows.tokens, self.weights[table.name] if values is None else values)

    def linear(self, x: Tensor, weight: Weight, bias: Weight | None = None) -> Tensor:
        return torch.nn.functional.linear(
            x, self.weights[weight.name], None if bias is None else self.weights[bias.name]
        )

    def rms_norm(self, x: Tensor, weight: Weight, eps: float) -> Tensor:
        runs = x.reshape(*x.shape[:-1], -1, *weight.shape)
        scale = torch.rsqrt(runs.square().mean(-1, keepdim=True) + eps)
        normed: Tensor = runs * scale * self.weights[weight.name]
        return normed.reshape(x.shape)

    def rope(self, x: Tensor, rotary: Rotary, head_dim: int) -> Tensor:
        frequencies = torch.tensor(rotary.inverse_frequencies, dtype=torch.float32, device=x.device)
        angles = self.rows.positions[:, None].to(torch.float32) * frequencies
        cos = (angles.cos() * rotary.attention_factor)[:, None]
        sin = (angles.sin() * rotary.attention_factor)[:, None]
        heads = x.reshape(*x.shape[:-1], -1, head_dim)
        half = frequencies.numel()
        first, second, rest = heads[..., :half], heads[..., half : 2 * half], heads[..., 2 * half :]
        return torch.cat((first * cos - second * sin, second * cos + first * sin, rest), dim=-1).flatten(-2)

    def attention(
        self, q: Tensor, k: Tensor, v: Tensor, *, layer: int, head_dim: int, scale: float, window: int | None = None
    ) -> Tensor:
        queries, keys, values = (x.reshape(x.shape[0], -1, head_dim) for x in (q, k, v))
        parts, order = [], []
        for sequence in sorted(set(self.rows.sequences.tolist())):
            own = torch.nonzero(self.rows.sequences == sequence).flatten()
            positions = self.rows.positions[own]
            all_keys, all_values = self.store.extend(layer, sequence, positions, keys[own], values[own])
            parts.append(_attend(queries[own], all_keys, all_values, positions=positions, scale=scale, window=window))
            order.append(own)
        if not parts:
            return q
        return torch.cat(parts)[torch.cat(order).argsort()].flatten(-2)

    def gated(self, gate: Tensor, up: Tensor, activation: Activation) -> Tensor:
        if activation == "silu":
            return torch.nn.functional.silu(gate) * up
        return torch.nn.functional.gelu(gate, approximate="tanh") * up

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b

    def select(self, x: Tensor) -> Tensor:
        return x[self.rows.selected]


def _attend(q: Tensor, k: Tensor, v: Tensor, *, positions: Tensor, scale: float, window: int | None) -> Tensor:
    """q [N, heads, d] at `positions` over k, v [L, kv_heads, d] at 0 to L - 1; the result is like q."""
    grouped = q.reshape(q.shape[0], k.shape[1], -1, q.shape[2])
    scores = torch.einsum("nkgd,lkd->nkgl", grouped, k) * scale
    distance = positions[:, None] - torch.arange(k.shape[0], device=q.device)
    visible = distance >= 0 if window is None else (distance >= 0) & (distance < window)
    weights = scores.masked_fill(~visible[:, None, None, :], float("-inf")).softmax(-1)
    return torch.einsum("nkgl,lkd->nkgd", weights, v).flatten(1, 2)
