"""Attention and its KV cache as native/cpu/kernel_table.h has them, in numpy: fixed spans of keys, folded in order.

Used by the interpreter; nothing here is fast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honed.backends.base import PAGE_TOKENS
from honed.backends.float32 import LANES, Floats, exp, fma, fold_lanes, quantize, quantize_within
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
    [n, kv_heads, groups]."""

    cells: Floats
    scales: Floats | None

    def __getitem__(self, rows: slice) -> KvRows:
        return KvRows(self.cells[rows], None if self.scales is None else self.scales[rows])


class KvCells:
    """The keys or the values of all layers, each cell widened to float32."""

    def __init__(self, shape: tuple[int, int, int, int], dtype: KvDtype, group: int | None = None) -> None:
        """`shape`: layers, positions, kv heads, head dim. `group`: features that share a scale; None: the head's."""
        self._cells = np.zeros(shape, dtype=np.float32)
        self._group = group or shape[3]
        self._scales = np.ones((*shape[:3], -(-shape[3] // self._group)), dtype=np.float32)
        self._dtype = dtype

    def write(self, layer: int, positions: NDArray[np.int64], heads: Floats) -> None:
        """heads [n, kv_heads, d]."""
        match self._dtype:
            case "float32":
                self._cells[layer, positions] = heads
            case "bfloat16":
                self._cells[layer, positions] = bfloat16_to_float32(float32_to_bfloat16(heads))
            case "int8":
                codes, scales = quantize(heads.reshape(-1, heads.shape[-1]), self._group)
                self._cells[layer, positions] = codes.reshape(heads.shape)
                self._scales[layer, positions] = scales.reshape(*heads.shape[:2], -1)

    def read(self, layer: int, positions: NDArray[np.int64]) -> KvRows:
        scales = self._scales[layer, positions] if self._dtype == "int8" else None
        return KvRows(self._cells[layer, positions], scales)


@dataclass(frozen=True)
class _Partial:
    """What one span leaves of each query head: largest score, sum of exponentials, weighted values [..., d]."""

    largest: Floats
    total: Floats
    mixed: Floats


def attend(q: Floats, keys: KvRows, values: KvRows, seen: NDArray[np.int64], scale: float) -> Floats:
    """q [kv_heads, group, d]; keys and values of the ascending positions `seen`; the result is like q."""
    state: _Partial | None = None
    for span in range(seen[0] // SPAN_TOKENS, seen[-1] // SPAN_TOKENS + 1):
        first, end = np.searchsorted(seen, [span * SPAN_TOKENS, (span + 1) * SPAN_TOKENS])
        rows = slice(first, end)
        partial = _attend_span(q, keys[rows], values[rows], seen[rows], scale)
        state = partial if state is None else _fold(state, partial)
    assert state is not None  # a token sees itself
    return state.mixed / state.total[..., None]


def _attend_span(q: Floats, keys: KvRows, values: KvRows, seen: NDArray[np.int64], scale: float) -> _Partial:
    scores = _scores(q, keys, np.float32(scale))
    largest = scores.max(axis=-1) + np.float32(0)
    weights = exp(scores - largest[..., None])
    lanes = np.zeros((*q.shape[:2], LANES), dtype=np.float32)
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
    for d in range(q.shape[2]):
        scores = fma(q[:, :, d, None], keys.cells[:, :, d].T[:, None, :], scores)
    return scores * scale


def _mixed(weights: Floats, values: KvRows, seen: NDArray[np.int64]) -> Floats:
    """The values, weighted: [kv_heads, group, d]."""
    mixed = np.zeros((*weights.shape[:2], values.cells.shape[2]), dtype=np.float32)
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
