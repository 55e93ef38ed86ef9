"""The ops of a model in numpy and float32, for blocks that the native engine does not run (`observed_blocks.py`): all
windows side by side, no cache, every row looked at.

A function an op, called as the recorded graph is walked. Not here: what is noted of the rows that pass by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honed.backends.float32 import erf, route
from honed.ops.operation import Operation
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
from honed.ops.values import GATE_LIMIT, GATE_SLOPE, POSITIONS, TOKENS, Activation

Floats = NDArray[np.float32]

Read = Callable[[str], Floats]
"""A weight by name as float32."""


@dataclass(frozen=True)
class Step:
    """What holds for the whole walk. `tokens` is [windows, tokens of each]; values are [windows, tokens, features].

    `note` is shown what enters each linear layer, by the name of its weight; `note_few` is told of the weights of
    experts that few rows go to, and how many. Linear layers whose result nothing reads,
    as the head is one, are not computed: `unread`.
    """

    tokens: NDArray[np.int64]
    read: Read
    note: Callable[[str, Floats], None]
    unread: frozenset[Operation]
    note_few: Callable[[str, int], None] = lambda name, rows: None


NUMPY: Meanings[Step, Floats] = Meanings("compress/observed_ops.py")
"""The functions by op, over [windows, tokens, features]: `NUMPY.of` registers one."""


@NUMPY.of(Embedding)
def _embedding(op: Embedding, step: Step) -> Floats:
    table = step.read(op.table.name)
    if op.ids == TOKENS:
        return table[step.tokens + op.first_row]
    # What else there is to say of a token, such as its type, is 0 in running text.
    ids = np.arange(step.tokens.shape[1]) if op.ids == POSITIONS else np.zeros(step.tokens.shape[1], np.int64)
    return np.broadcast_to(table[ids + op.first_row], (*step.tokens.shape, table.shape[1]))


@NUMPY.of(Linear)
def _linear(op: Linear, step: Step, x: Floats) -> Floats:
    name = op.weight.name
    step.note(name, x)
    if op in step.unread:
        return x
    # One product of all rows: numpy would make one for each window, half as fast.
    result: Floats = (x.reshape(-1, x.shape[-1]) @ step.read(name).T).reshape(*x.shape[:-1], -1)
    if op.bias is not None:
        result += step.read(op.bias.name)
    return result


@NUMPY.of(RmsNorm)
def _rms_norm(op: RmsNorm, step: Step, x: Floats) -> Floats:
    runs = x.reshape(*x.shape[:-1], -1, op.weight.shape[0])
    scale = np.reciprocal(np.sqrt(np.mean(runs * runs, axis=-1, keepdims=True) + np.float32(op.eps)))
    normed: Floats = (runs * scale * step.read(op.weight.name)).reshape(x.shape)
    return normed


@NUMPY.of(LayerNorm)
def _layer_norm(op: LayerNorm, step: Step, x: Floats) -> Floats:
    centered = x - np.mean(x, axis=-1, keepdims=True)
    scale = np.reciprocal(np.sqrt(np.mean(centered * centered, axis=-1, keepdims=True) + np.float32(op.eps)))
    normed: Floats = centered * scale * step.read(op.weight.name)
    return normed if op.bias is None else normed + step.read(op.bias.name)


@NUMPY.of(Rope)
def _rope(op: Rope, step: Step, x: Floats) -> Floats:
    frequencies = np.asarray(op.rotary.inverse_frequencies, np.float32)
    angles = np.arange(x.shape[1], dtype=np.float32)[:, None, None] * frequencies
    cos, sin = (np.float32(op.rotary.attention_factor) * f(angles) for f in (np.cos, np.sin))
    turned = x.reshape(*x.shape[:-1], -1, op.head_dim).copy()
    half, interleaved = frequencies.size, op.rotary.interleaved
    first = turned[..., 0 : 2 * half : 2] if interleaved else turned[..., :half]
    second = turned[..., 1 : 2 * half : 2] if interleaved else turned[..., half : 2 * half]
    first[:], second[:] = first * cos - second * sin, second * cos + first * sin
    return turned.reshape(x.shape)


@NUMPY.of(Attention)
def _attention(op: Attention, step: Step, q: Floats, k: Floats, v: Floats) -> Floats:
    count, spec = q.shape[1], op.spec
    distance = np.arange(count) - np.arange(count)[:, None]
    hidden = (distance < -(count if spec.before is None else spec.before)) | (
        distance > (count if spec.after is None else spec.after)
    )
    queries, keys, values = (x.reshape(*x.shape[:-1], -1, spec.head_dim).transpose(0, 2, 1, 3) for x in (q, k, v))
    heads, shared = queries.shape[1], keys.shape[1]
    # Heads that share keys are rows of one product: starting its threads takes as long as a small one itself.
    queries = queries.reshape(-1, shared, heads // shared * count, spec.head_dim)
    mixed = np.empty_like(queries)
    for head in range(shared):
        scores = queries[:, head] @ keys[:, head].transpose(0, 2, 1) * np.float32(spec.scale)
        of_head = scores.reshape(len(scores), -1, count, count)  # a view
        own = slice(head * of_head.shape[1], (head + 1) * of_head.shape[1])
        if spec.soft_cap is not None:
            of_head[:] = np.tanh(of_head / np.float32(spec.soft_cap)) * np.float32(spec.soft_cap)
        if spec.bias is not None:
            reach = spec.bias.reach
            by_distance = step.read(spec.bias.weight.name).reshape(heads, -1)
            of_head += by_distance[own, np.clip(distance, -reach, reach) + reach]
        of_head[:, :, hidden] = -np.inf
        largest = scores.max(axis=-1, keepdims=True)
        weights = np.exp(scores - largest)
        total = weights.sum(axis=-1, keepdims=True)
        if spec.sinks is not None:
            sinks = np.repeat(step.read(spec.sinks.name)[own], count)[:, None]
            total += np.exp(sinks - largest)
        mixed[:, head] = (weights / total) @ values[:, head]
    return mixed.reshape(-1, heads, count, spec.head_dim).transpose(0, 2, 1, 3).reshape(q.shape)


@NUMPY.of(Gated)
def _gated(op: Gated, step: Step, gate: Floats, up: Floats) -> Floats:
    if op.activation == "clamped_silu":
        gate, up = (
            np.minimum(gate, np.float32(GATE_LIMIT)),
            np.clip(up, np.float32(-GATE_LIMIT), np.float32(GATE_LIMIT)),
        )
        silu: Floats = gate / (1 + np.exp(np.float32(-GATE_SLOPE) * gate))
        return silu * (up + 1)
    return _activated(gate, op.activation) * up


@NUMPY.of(Activate)
def _activate(op: Activate, step: Step, x: Floats) -> Floats:
    return _activated(x, op.activation)


def _activated(x: Floats, activation: Activation) -> Floats:
    match activation:
        case "relu":
            return np.maximum(x, np.float32(0))
        case "tanh":
            return np.tanh(x)
        case "gelu":
            return x * np.float32(0.5) * (np.float32(1) + erf(x * np.float32(0.5**0.5)))
        case "silu":
            inner = x
        case "gelu_tanh":
            inner = np.float32(2 * 0.7978845608) * (x + np.float32(0.044715) * x**3)
    with np.errstate(over="ignore"):  # exp of a large number is infinite, and its reciprocal the right zero
        result: Floats = x / (1 + np.exp(-inner))
    return result


@NUMPY.of(Add)
def _add(op: Add, step: Step, a: Floats, b: Floats) -> Floats:
    return a + b


@NUMPY.of(Scale)
def _scale(op: Scale, step: Step, x: Floats) -> Floats:
    return x * np.float32(op.factor)


@NUMPY.of(Select)
def _select(op: Select, step: Step, x: Floats) -> Floats:
    return x  # every row is looked at


@NUMPY.of(Pool)
def _pool(op: Pool, step: Step, x: Floats) -> Floats:
    pooled: Floats = x.mean(axis=1) if op.pooling == "mean" else x[:, 0 if op.pooling == "first" else -1]
    return pooled


FEW_ROWS = 64
"""An expert that fewer rows of the calibration go to is shown others of its layer too."""


@NUMPY.of(Route)
def _route(op: Route, step: Step, scores: Floats) -> Floats:
    """The numbers as float32, then what each counts. Experts that few rows go to are added, to all rows by turns, and
    count nothing: what they see is observed, and the result is what it was."""
    flat = scores.reshape(-1, scores.shape[-1])
    numbers, counts = route(flat, op.chosen, op.scoring)
    rows = np.bincount(numbers.astype(np.int64).ravel(), minlength=flat.shape[1])
    few = np.flatnonzero(rows < FEW_ROWS) if op.chosen < flat.shape[1] else rows[:0]  # else all rows go to all
    if few.size:
        turns = few[np.arange(len(flat)) % few.size, None]
        numbers = np.concatenate([numbers, turns.astype(np.float32)], axis=1)
        counts = np.concatenate([counts, np.zeros((len(flat), 1), np.float32)], axis=1)
    return np.concatenate([numbers, counts], axis=1).reshape(*scores.shape[:-1], -1)


@NUMPY.of(Dispatch)
def _dispatch(op: Dispatch, step: Step, x: Floats, routing: Floats) -> Floats:
    return np.repeat(x, routing.shape[-1] // 2, axis=1)


@NUMPY.of(ExpertLinear)
def _expert_linear(op: ExpertLinear, step: Step, x: Floats, routing: Floats) -> Floats:
    numbers, counts = (half.ravel() for half in np.split(routing, 2, axis=-1))
    rows = x.reshape(-1, x.shape[-1])
    result = np.zeros((len(rows), op.matrices[0].shape[0]), np.float32)
    for expert, matrix in enumerate(op.matrices):
        own = np.flatnonzero(numbers == expert)
        if not own.size:
            continue  # fewer rows than experts that few go to
        if (went := int(np.count_nonzero(counts[own]))) < FEW_ROWS:
            step.note_few(matrix.name, went)
        step.note(matrix.name, rows[own])
        result[own] = rows[own] @ step.read(matrix.name).T
        if op.biases:
            result[own] += step.read(op.biases[expert].name)
    return result.reshape(*x.shape[:-1], -1)


@NUMPY.of(Combine)
def _combine(op: Combine, step: Step, x: Floats, routing: Floats) -> Floats:
    counts = routing[..., routing.shape[-1] // 2 :]
    total: Floats = np.einsum("wtk,wtkf->wtf", counts, x.reshape(*counts.shape, -1))
    return total
