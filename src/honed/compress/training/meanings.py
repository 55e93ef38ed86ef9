"""What each op means in training: over windows of one length side by side, or over texts of any lengths back to back,
products in float32 or bfloat16, gradients throughout.

`ops/reference.py` is the oracle, and gives the ops that take no time. Attention is products of whole windows: on a
processor with tiles they take a third of what torch's own attention does, and they know every attention spec. Of texts
of several lengths attention alone is padded; all else goes over the rows that there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from honed.compress.training.fused import rms_norm, rotate
from honed.ops import reference
from honed.ops.reference import GrowingStore, Rows, Step
from honed.ops.run import Meanings
from honed.ops.table import (
    Activate,
    Add,
    Attention,
    Combine,
    Dispatch,
    Embedding,
    ExpertLinear,
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
from honed.ops.values import TOKEN_TYPES, TOKENS, AttentionSpec, Rotary


@dataclass(frozen=True)
class Texts:
    """Texts back to back. tokens, types: int64 [T]; lengths: of each, at least 1, T in all; selected: int64, those of
    the T rows that are asked for."""

    tokens: Tensor
    types: Tensor
    lengths: tuple[int, ...]
    selected: Tensor


@dataclass(frozen=True)
class WindowStep(Step):
    """`shape`: windows and tokens of each; of texts the tokens of the longest. lengths: those of texts that are not all
    as long, None for windows. places: int64 [T], where the rows of such texts stand in a table of that shape. dtype:
    that of products. maps: where attention maps are wanted, those of
    each attention op in order, [windows, tokens, tokens], means over heads. known: what is computed once a step."""

    shape: tuple[int, int] = (0, 0)
    dtype: torch.dtype = torch.float32
    maps: list[Tensor] | None = None
    known: dict[object, tuple[Tensor, ...]] = field(default_factory=dict)
    lengths: Tensor | None = None
    places: Tensor | None = None

    def spread(self, x: Tensor) -> Tensor:
        """Rows as those of windows, with zeros behind the shorter texts."""
        if self.places is None:
            return x
        return x.new_zeros(self.shape[0] * self.shape[1], x.shape[1]).index_copy(0, self.places, x)

    def gathered(self, x: Tensor) -> Tensor:
        """The inverse of `spread`."""
        return x if self.places is None else x[self.places]


def window_step(
    weights: Mapping[str, Tensor], tokens: Tensor, dtype: torch.dtype, maps: list[Tensor] | None = None
) -> WindowStep:
    """A step over `tokens` [windows, tokens of each] int64. What else there is to say of a token is 0."""
    windows, length = tokens.shape
    rows = Rows(
        inputs={TOKENS: tokens.reshape(-1), TOKEN_TYPES: torch.zeros_like(tokens).reshape(-1)},
        positions=torch.arange(length, device=tokens.device).repeat(windows),
        sequences=torch.arange(windows, device=tokens.device).repeat_interleave(length),
        selected=torch.arange(0, device=tokens.device),
    )
    return WindowStep(weights, rows, GrowingStore(), shape=(windows, length), dtype=dtype, maps=maps)


def text_step(weights: Mapping[str, Tensor], texts: Texts, dtype: torch.dtype) -> WindowStep:
    """A step over texts."""
    device = texts.tokens.device
    lengths, longest = torch.tensor(texts.lengths, device=device), max(texts.lengths)
    sequences = torch.arange(len(lengths), device=device).repeat_interleave(lengths)
    starts = lengths.cumsum(0) - lengths
    positions = torch.arange(len(texts.tokens), device=device) - starts[sequences]
    rows = Rows({TOKENS: texts.tokens, TOKEN_TYPES: texts.types}, positions, sequences, texts.selected)
    shape = (len(texts.lengths), longest)
    if min(texts.lengths) == longest:
        return WindowStep(weights, rows, GrowingStore(), shape=shape, dtype=dtype)
    places = sequences * longest + positions
    return WindowStep(weights, rows, GrowingStore(), shape=shape, dtype=dtype, lengths=lengths, places=places)


TRAINED: Meanings[WindowStep, Tensor] = Meanings("compress/training/meanings.py")
"""The functions by op, over rows of all windows one after the other: `TRAINED.of` registers one."""

TRAINED.of(Gated)(reference.gated)
TRAINED.of(Activate)(reference.activate)
TRAINED.of(Add)(reference.add)
TRAINED.of(Scale)(reference.scale)
TRAINED.of(Combine)(reference.combine)
TRAINED.of(Dispatch)(reference.dispatch)
TRAINED.of(Select)(reference.select)


@TRAINED.of(Embedding)
def _embedding(op: Embedding, step: WindowStep) -> Tensor:
    return reference.embedding(op, step).float()


@TRAINED.of(Linear)
def _linear(op: Linear, step: WindowStep, x: Tensor) -> Tensor:
    bias = None if op.bias is None else step.weights[op.bias.name].to(step.dtype)
    return torch.nn.functional.linear(x.to(step.dtype), step.weights[op.weight.name].to(step.dtype), bias)


@TRAINED.of(RmsNorm)
def _rms_norm(op: RmsNorm, step: WindowStep, x: Tensor) -> Tensor:
    runs = x.reshape(*x.shape[:-1], -1, *op.weight.shape)
    return rms_norm(runs, step.weights[op.weight.name], op.eps, step.dtype).reshape(x.shape)


@TRAINED.of(LayerNorm)
def _layer_norm(op: LayerNorm, step: WindowStep, x: Tensor) -> Tensor:
    return reference.layer_norm(op, step, x.float())


@TRAINED.of(Route)
def _route(op: Route, step: WindowStep, scores: Tensor) -> Tensor:
    return reference.route(op, step, scores.float())  # numbers of experts are no bfloat16


@TRAINED.of(ExpertLinear)
def _expert_linear(op: ExpertLinear, step: WindowStep, x: Tensor, routing: Tensor) -> Tensor:
    return reference.expert_linear(op, step, x.float(), routing)


@TRAINED.of(Rope)
def _rope(op: Rope, step: WindowStep, x: Tensor) -> Tensor:
    key = ("rope", op.rotary)
    if key not in step.known:
        step.known[key] = _angles(op.rotary, step.shape[1], x.device)
    cos, sin = step.known[key]
    heads = x.reshape(*step.shape, -1, op.head_dim) if step.places is None else x.reshape(1, len(x), -1, op.head_dim)
    if step.places is not None:
        cos, sin = cos[step.rows.positions], sin[step.rows.positions]
    return rotate(heads, cos, sin, interleaved=op.rotary.interleaved).reshape(x.shape)


@TRAINED.of(Pool)
def _pool(op: Pool, step: WindowStep, x: Tensor) -> Tensor:
    windows, length = step.shape
    lengths = step.lengths if step.lengths is not None else torch.full((windows,), length, device=x.device)
    ends = lengths.cumsum(0)
    if op.pooling == "mean":
        summed = x.new_zeros(windows, x.shape[1]).index_add(0, step.rows.sequences, x)
        return summed / lengths[:, None]
    return x[ends - lengths if op.pooling == "first" else ends - 1]


def _angles(rotary: Rotary, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    frequencies = torch.tensor(rotary.inverse_frequencies, dtype=torch.float32, device=device)
    angles = torch.arange(length, device=device)[:, None, None].to(torch.float32) * frequencies
    return angles.cos() * rotary.attention_factor, angles.sin() * rotary.attention_factor


@TRAINED.of(Attention)
def _attention(op: Attention, step: WindowStep, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    shape = q.shape
    q, k, v = (step.spread(x) for x in (q, k, v))
    (windows, length), size = step.shape, op.spec.head_dim
    shared = k.shape[-1] // size
    # Query heads that share keys are rows of one product.
    queries = q.to(step.dtype).reshape(windows, length, shared, -1, size).permute(0, 2, 3, 1, 4)
    together = queries.shape[2]
    queries = queries.reshape(windows * shared, together * length, size)
    keys = k.to(step.dtype).reshape(windows, length, shared, size).permute(0, 2, 3, 1).reshape(-1, size, length)
    values = v.to(step.dtype).reshape(windows, length, shared, size).transpose(1, 2).reshape(-1, length, size)
    mixing = _mixing(op.spec, step, queries, keys, together)
    if step.maps is not None:
        step.maps.append(mixing.reshape(windows, -1, length, length).float().mean(1))
    mixed = torch.bmm(mixing, values).reshape(windows, shared, together, length, size)
    return step.gathered(mixed.permute(0, 3, 1, 2, 4).reshape(q.shape)).reshape(shape)


def _mixing(spec: AttentionSpec, step: WindowStep, queries: Tensor, keys: Tensor, together: int) -> Tensor:
    """How much of each value comes into each row: [windows * KV heads, query heads of each * tokens, tokens]."""
    length = keys.shape[-1]
    hidden = _hidden(spec, step, length, together, queries)
    if spec.soft_cap is None and spec.bias is None:
        scores = torch.baddbmm(hidden, queries, keys, alpha=spec.scale)
    else:
        scores = torch.bmm(queries, keys) * spec.scale
        if spec.soft_cap is not None:
            scores = torch.tanh(scores / spec.soft_cap) * spec.soft_cap
        if spec.bias is not None:
            distance = torch.arange(length, device=keys.device) - torch.arange(length, device=keys.device)[:, None]
            reach = spec.bias.reach
            by_head = step.weights[spec.bias.weight.name].reshape(-1, 2 * reach + 1)
            added = by_head[:, distance.clamp(-reach, reach) + reach].reshape(-1, together * length, length)
            scores = scores + added.repeat(step.shape[0], 1, 1).to(scores.dtype)
        scores = scores + hidden
    if spec.sinks is None:
        return scores.softmax(-1)
    sinks = step.weights[spec.sinks.name].reshape(-1, together, 1).expand(-1, -1, length).reshape(-1, together * length)
    column = sinks.repeat(step.shape[0], 1)[..., None].to(scores.dtype)
    return torch.cat((scores, column), dim=-1).softmax(-1)[..., :-1]


def _hidden(spec: AttentionSpec, step: WindowStep, length: int, together: int, like: Tensor) -> Tensor:
    """Minus infinity where a row does not see a key, else 0: [1, query heads of each * tokens, tokens]."""
    key = ("hidden", spec.before, spec.after, together)
    if key not in step.known:
        places = torch.arange(length, device=like.device)
        distance = places - places[:, None]
        unseen = distance < -(length if spec.before is None else spec.before)
        unseen |= distance > (length if spec.after is None else spec.after)
        found = torch.zeros(length, length, dtype=like.dtype, device=like.device)
        found = found.masked_fill_(unseen, float("-inf")).repeat(together, 1)[None]
        step.known[key] = (found if step.lengths is None else _without_ends(found, step, like),)
    return step.known[key][0]


def _without_ends(hidden: Tensor, step: WindowStep, like: Tensor) -> Tensor:
    """Where texts are shorter than the longest no row sees what is behind their end, but for those rows that stand
    there, which are read by nobody: [windows * KV heads, query heads of each * tokens, tokens]."""
    assert step.lengths is not None
    windows, length = step.shape
    places = torch.arange(length, device=like.device)
    behind = places[None, :] >= step.lengths[:, None]
    rows = behind.repeat(1, hidden.shape[1] // length)[:, :, None]
    unseen = behind[:, None, :] & ~rows
    per = hidden.expand(windows, -1, -1).masked_fill(unseen, float("-inf"))
    return per.repeat_interleave(like.shape[0] // windows, 0)
