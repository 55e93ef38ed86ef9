"""What the inputs of the linear layers look like on calibration tokens: the mean square of every input feature.

The forward pass of the model file runs in numpy and float32, all windows side by side and one weight decoded at a
time, so that memory does not grow with the model. No cache, no logits, no torch: what a pass needs and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from honed.errors import ParameterError
from honed.models.base import DecoderModel
from honed.ops.table import Activation, Rotary, Weight

Tokens = Sequence[Sequence[int]]
"""Windows of token ids, all of one length."""

Floats = NDArray[np.float32]
Read = Callable[[str], Floats]
"""A weight by name as float32."""


@dataclass(frozen=True)
class InputStatistics:
    """`mean_square[name]` is [in features] of the linear weight `name`, over `tokens` token rows."""

    mean_square: Mapping[str, NDArray[np.float64]]
    tokens: int

    def rms(self, name: str) -> NDArray[np.float64]:
        """Root mean square of each input feature."""
        return np.sqrt(self.mean_square[name])

    def divided(self, factors: Mapping[str, Floats]) -> InputStatistics:
        """Those of the same model where the inputs of these weights are divided by a factor for each feature."""
        changed = {
            name: self.mean_square[name] / np.square(divisor, dtype=np.float64) for name, divisor in factors.items()
        }
        return InputStatistics({**self.mean_square, **changed}, self.tokens)


def collect_inputs(
    model: DecoderModel, read: Read, windows: Tokens, *, progress: Callable[[str], None] | None = None
) -> InputStatistics:
    """Runs the windows through the model. ParameterError for windows that are empty, ragged or out of vocabulary."""
    tokens = _checked(windows, model.dimensions.vocabulary)
    ops = _Forward(tokens, read, progress)
    model.forward(ops)
    return InputStatistics(ops.mean_square, tokens.size)


def _checked(windows: Tokens, vocabulary: int) -> NDArray[np.int64]:
    lengths = {len(window) for window in windows}
    if len(lengths) != 1 or lengths == {0}:
        raise ParameterError("calibration windows", sorted(lengths), "must be at least one, all of one length over 0")
    tokens = np.array(windows, dtype=np.int64)
    if tokens.min() < 0 or tokens.max() >= vocabulary:
        raise ParameterError("calibration token", int(tokens.max()), f"must be from 0 to {vocabulary - 1}")
    return tokens


@dataclass
class _Forward:
    """Ops over [windows, tokens, features]. The head is not run: its output is never asked for."""

    tokens: NDArray[np.int64]
    read: Read
    progress: Callable[[str], None] | None
    mean_square: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    selected: bool = False

    def embedding(self, table: Weight) -> Floats:
        return self.read(table.name)[self.tokens]

    def linear(self, x: Floats, weight: Weight, bias: Weight | None = None) -> Floats:
        if weight.name not in self.mean_square:
            rows = x.reshape(-1, x.shape[-1])
            self.mean_square[weight.name] = np.einsum("tk,tk->k", rows, rows, dtype=np.float64) / rows.shape[0]
        if self.selected:
            return x
        if self.progress is not None:
            self.progress(weight.name)
        # One product of all rows: numpy would make one for each window, half as fast.
        product = x.reshape(-1, x.shape[-1]) @ self.read(weight.name).T
        result: Floats = product.reshape(*x.shape[:-1], -1)
        if bias is not None:
            result += self.read(bias.name)
        return result

    def rms_norm(self, x: Floats, weight: Weight, eps: float) -> Floats:
        runs = x.reshape(*x.shape[:-1], -1, weight.shape[0])
        scale = np.reciprocal(np.sqrt(np.mean(runs * runs, axis=-1, keepdims=True) + np.float32(eps)))
        normed: Floats = (runs * scale * self.read(weight.name)).reshape(x.shape)
        return normed

    def rope(self, x: Floats, rotary: Rotary, head_dim: int) -> Floats:
        frequencies = np.asarray(rotary.inverse_frequencies, np.float32)
        angles = np.arange(x.shape[1], dtype=np.float32)[:, None, None] * frequencies
        cos, sin = (np.float32(rotary.attention_factor) * f(angles) for f in (np.cos, np.sin))
        heads, half = x.reshape(*x.shape[:-1], -1, head_dim), frequencies.size
        first, second = heads[..., :half], heads[..., half : 2 * half]
        turned = np.concatenate(
            [first * cos - second * sin, second * cos + first * sin, heads[..., 2 * half :]], axis=-1
        )
        return turned.reshape(x.shape)

    def attention(
        self, q: Floats, k: Floats, v: Floats, *, layer: int, head_dim: int, scale: float, window: int | None = None
    ) -> Floats:
        count = q.shape[1]
        age = np.arange(count)[:, None] - np.arange(count)
        hidden = (age < 0) | (age >= (count if window is None else window))
        queries, keys, values = (x.reshape(*x.shape[:-1], -1, head_dim).transpose(0, 2, 1, 3) for x in (q, k, v))
        heads, shared = queries.shape[1], keys.shape[1]
        # Heads that share keys are rows of one product: starting its threads takes as long as a small one itself.
        queries = queries.reshape(-1, shared, heads // shared * count, head_dim)
        mixed = np.empty_like(queries)
        for head in range(shared):
            scores = queries[:, head] @ keys[:, head].transpose(0, 2, 1) * np.float32(scale)
            scores.reshape(-1, count, count)[:, hidden] = -np.inf
            weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
            mixed[:, head] = (weights / weights.sum(axis=-1, keepdims=True)) @ values[:, head]
        return mixed.reshape(-1, heads, count, head_dim).transpose(0, 2, 1, 3).reshape(q.shape)

    def gated(self, gate: Floats, up: Floats, activation: Activation) -> Floats:
        if activation == "silu":
            inner = gate
        else:
            inner = np.float32(2 * 0.7978845608) * (gate + np.float32(0.044715) * gate**3)
        with np.errstate(over="ignore"):  # exp of a large number is infinite, and its reciprocal the right zero
            product: Floats = gate / (1 + np.exp(-inner)) * up
        return product

    def add(self, a: Floats, b: Floats) -> Floats:
        return a + b

    def select(self, x: Floats) -> Floats:
        self.selected = True
        return x
