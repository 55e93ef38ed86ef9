"""Attention and its KV cache as native/cpu/kernel_table.h has them, in numpy: fixed spans of keys, folded in order.

Used by the interpreter; nothing here is fast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honed.backends.base import PAGE_TOKENS
from honed.backends.float32 import LANES, Floats, exp, fma, fold_lanes, quantize, quantize_within, tanh
from honed.backends.kv_cache import KEY_GROUP
from honed.encodings.dense import bfloat16_to_float32, float32_to_bfloat16
from honed.plan.formats import KvDtype

SPAN_TOKENS = 256
"""Keys of one span."""
QUERY_CODES = 127 * 128
WEIGHT_CODES = 127 * 128 + 127
"""Largest codes of a query head, and of the weights of a page, where keys and values are integers."""


@dataclass(frozen=True)
class KvRows:
    """Keys or values of n positions: what their cells hold [n, kv_heads, d], and of int8 the scales of each head
    [n, kv_heads, groups]. `paired`: they are bfloat16, which are multiplied in pairs."""

    cells: Floats
    scales: Floats | None
    paired: bool = False

    def __getitem__(self, rows: slice) -> KvRows:
        return KvRows(self.cells[rows], None if self.scales is None else self.scales[rows], self.paired)


class KvCells:
    """The keys or the values of a cache, each cell widened to float32."""

    def __init__(self, shape: tuple[int, int, int], dtype: KvDtype, group: int | None = None) -> None:
        """`shape`: positions, kv heads, head dim. `group`: features that share a scale; None: the head's."""
        self._cells = np.zeros(shape, dtype=np.float32)
        self._group = group or shape[2]
        self._scales = np.ones((*shape[:2], -(-shape[2] // self._group)), dtype=np.float32)
        self._dtype = dtype

    def write(self, positions: NDArray[np.int64], heads: Floats) -> None:
        """heads [n, kv_heads, d]."""
        match self._dtype:
            case "float32":
                self._cells[positions] = heads
            case "bfloat16":
                self._cells[positions] = _rounded(heads)
            case "int8":
                codes, scales = quantize(heads.reshape(-1, heads.shape[-1]), self._group)
                self._cells[positions] = codes.reshape(heads.shape)
                self._scales[positions] = scales.reshape(*heads.shape[:2], -1)

    def read(self, positions: NDArray[np.int64]) -> KvRows:
        scales = self._scales[positions] if self._dtype == "int8" else None
        return KvRows(self._cells[positions], scales, self._dtype == "bfloat16")


class KvPair:
    """The keys and the values of one attention."""

    def __init__(self, positions: int, kv_heads: int, key_width: int, value_width: int, dtype: KvDtype) -> None:
        self.keys = KvCells((positions, kv_heads, key_width), dtype, KEY_GROUP)
        self.values = KvCells((positions, kv_heads, value_width), dtype)


@dataclass(frozen=True)
class Scoring:
    """What becomes of the scores of a row. `sinks` [kv_heads, group]; `bias` [kv_heads, group, n] of its keys."""

    scale: float
    soft_cap: float = 0.0
    sinks: Floats | None = None
    bias: Floats | None = None

    def of(self, scores: Floats, keys: slice) -> Floats:
        """Scores [kv_heads, group, n] of some of its keys."""
        if self.soft_cap:
            cap = np.float32(self.soft_cap)
            scores = cap * tanh(scores / cap)
        if self.bias is not None:
            scores = scores + self.bias[..., keys]
        return scores


@dataclass(frozen=True)
class _Partial:
    """What one span leaves of each query head: largest score, sum of exponentials, weighted values [..., d]."""

    largest: Floats
    total: Floats
    mixed: Floats


def attend(q: Floats, keys: KvRows, values: KvRows, seen: NDArray[np.int64], scoring: Scoring) -> Floats:
    """q [kv_heads, group, d]; keys and values of the ascending positions `seen`; the result is like q."""
    state: _Partial | None = None
    for span in range(seen[0] // SPAN_TOKENS, seen[-1] // SPAN_TOKENS + 1):
        first, end = np.searchsorted(seen, [span * SPAN_TOKENS, (span + 1) * SPAN_TOKENS])
        rows = slice(first, end)
        scores = scoring.of(_scores(q, keys[rows], np.float32(scoring.scale)), rows)
        partial = _mix_span(scores, values[rows], seen[rows])
        state = partial if state is None else _fold(state, partial)
    assert state is not None  # a token sees itself
    if scoring.sinks is not None:  # one more key, with no value
        nothing = np.zeros_like(state.mixed)
        state = _fold(state, _Partial(scoring.sinks, np.ones_like(scoring.sinks), nothing))
    return state.mixed / state.total[..., None]


def _mix_span(scores: Floats, values: KvRows, seen: NDArray[np.int64]) -> _Partial:
    largest = scores.max(axis=-1) + np.float32(0)
    weights = exp(scores - largest[..., None])
    if values.paired:
        weights = _rounded(weights)
    lanes = np.zeros((*scores.shape[:2], LANES), dtype=np.float32)
    for index, position in enumerate(seen):
        lanes[..., position % LANES] += weights[..., index]
    return _Partial(largest, fold_lanes(lanes), _mixed(weights, values, seen))


def _scores(q: Floats, keys: KvRows, scale: np.float32) -> Floats:
    """[kv_heads, group, n]"""
    scores = np.zeros((*q.shape[:2], len(keys.cells)), dtype=np.float32)
    if keys.scales is not None:
        codes, steps = _codes(q, QUERY_CODES)
        for group in range(keys.scales.shape[2]):
            features = slice(group * KEY_GROUP, (group + 1) * KEY_GROUP)
            sums = np.einsum("hgd,nhd->hgn", codes[..., features], keys.cells[..., features].astype(np.int64))
            scores = fma(sums.astype(np.float32), keys.scales[:, :, group].T[:, None, :], scores)
        result: Floats = scores * (steps * scale)
        return result
    if keys.paired:
        q = _rounded(q)
        for even in range(0, q.shape[2], 2):
            for d in (even + 1, even):
                if d < q.shape[2]:
                    scores = _flushed_fma(q[:, :, d, None], keys.cells[:, :, d].T[:, None, :], scores)
        return _flushed(scores * scale)
    for d in range(q.shape[2]):
        scores = fma(q[:, :, d, None], keys.cells[:, :, d].T[:, None, :], scores)
    return scores * scale


def _mixed(weights: Floats, values: KvRows, seen: NDArray[np.int64]) -> Floats:
    """The values, weighted: [kv_heads, group, d]."""
    mixed = np.zeros((*weights.shape[:2], values.cells.shape[2]), dtype=np.float32)
    if values.paired:  # of a pair the odd position first
        for index in sorted(range(len(seen)), key=lambda index: (seen[index] // 2, -seen[index])):
            mixed = _flushed_fma(weights[..., index, None], values.cells[index][:, None, :], mixed)
        return mixed
    if values.scales is None:
        for index in range(len(seen)):
            mixed = fma(weights[..., index, None], values.cells[index][:, None, :], mixed)
        return mixed
    pages = seen // PAGE_TOKENS
    for page in np.unique(pages):
        of_page = np.flatnonzero(pages == page)
        codes, steps = _codes(weights[..., of_page] * values.scales[of_page, :, 0].T[:, None, :], WEIGHT_CODES)
        sums = np.einsum("hgn,nhd->hgd", codes, values.cells[of_page].astype(np.int64)).astype(np.float32)
        mixed = fma(sums, steps, mixed)
    return mixed


def _rounded(x: Floats) -> Floats:
    """To the nearest bfloat16."""
    return bfloat16_to_float32(float32_to_bfloat16(x))


def _flushed(x: Floats) -> Floats:
    """Denormals become zeros of their sign."""
    result: Floats = np.where(np.abs(x) < np.finfo(np.float32).tiny, np.copysign(np.float32(0), x), x)
    return result


def _flushed_fma(a: Floats, b: Floats, c: Floats) -> Floats:
    """`fma` of a processor that flushes denormals, as products of bfloat16 pairs do."""
    return _flushed(fma(_flushed(a), _flushed(b), c))


def _codes(x: Floats, most: int) -> tuple[NDArray[np.int64], Floats]:
    """Codes of the last axis within [-most, most], and their step, which keeps that axis."""
    codes, steps = quantize_within(x.reshape(-1, 1, x.shape[-1]), most)
    return codes.reshape(x.shape), steps.reshape(*x.shape[:-1], 1)


def _fold(state: _Partial, later: _Partial) -> _Partial:
    largest = np.maximum(state.largest, later.largest)
    kept, added = exp(state.largest - largest), exp(later.largest - largest)
    total = fma(state.total, kept, later.total * added)
    mixed = fma(state.mixed, kept[..., None], later.mixed * added[..., None])
    return _Partial(largest, total, mixed)
