"""What each op means in training: over windows of one length side by side, products in float32 or bfloat16, gradients
throughout.

`ops/reference.py` is the oracle, and gives the ops that take no time. Attention is products of whole windows: on a
processor with tiles they take a third of what torch's own attention does, and they know every attention spec.
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
    RmsNorm,
    Rope,
    Route,
    Scale,
)
from honed.ops.values import TOKEN_TYPES, TOKENS, AttentionSpec, Rotary


@dataclass(frozen=True)
class WindowStep(Step):
    """`shape`: windows and tokens of each. dtype: that of products. maps: where attention maps are wanted, those of
    each attention op in order, [windows, tokens, tokens], means over heads. known: what is computed once a step."""

    shape: tuple[int, int] = (0, 0)
    dtype: torch.dtype = torch.float32
    maps: list[Tensor] | None = None
    known: dict[object, tuple[Tensor, ...]] = field(default_factory=dict)


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


TRAINED: Meanings[WindowStep, Tensor] = Meanings("compress/training/meanings.py")
"""The functions by op, over rows of all windows one after the other: `TRAINED.of` registers one."""

TRAINED.of(Gated)(reference.gated)
TRAINED.of(Activate)(reference.activate)
TRAINED.of(Add)(reference.add)
TRAINED.of(Scale)(reference.scale)
TRAINED.of(Combine)(reference.combine)
TRAINED.of(Dispatch)(reference.dispatch)


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
    heads = x.reshape(*step.shape, -1, op.head_dim)
    return rotate(heads, *step.known[key], interleaved=op.rotary.interleaved).reshape(x.shape)


def _angles(rotary: Rotary, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    frequencies = torch.tensor(rotary.inverse_frequencies, dtype=torch.float32, device=device)
    angles = torch.arange(length, device=device)[:, None, None].to(torch.float32) * frequencies
    return angles.cos() * rotary.attention_factor, angles.sin() * rotary.attention_factor


@TRAINED.of(Attention)
def _attention(op: Attention, step: WindowStep, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
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
    return mixed.permute(0, 3, 1, 2, 4).reshape(q.shape)


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
        step.known[key] = (found.masked_fill_(unseen, float("-inf")).repeat(together, 1)[None],)
    return step.known[key][0]
