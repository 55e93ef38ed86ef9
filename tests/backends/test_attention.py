"""The interpreter's attention against a softmax in float64, whatever the number of spans."""

from __future__ import annotations

import numpy as np
import pytest

from honed.backends.attention import SPAN_TOKENS, KvCells, Scoring, attend
from honed.backends.kv_cache import KEY_GROUP
from honed.plan.formats import KvDtype

KV_HEADS, GROUP, HEAD_DIM = 2, 3, 48


def test_spans_are_those_of_the_kernels() -> None:
    from pathlib import Path

    contract = Path(__file__).parents[2] / "native" / "cpu"
    assert f"kSpanTokens = {SPAN_TOKENS};" in (contract / "panel_layout.h").read_text()
    assert f"kKeyGroup = {KEY_GROUP};" in (contract / "kernel_table.h").read_text()


@pytest.mark.parametrize(("first", "count"), [(0, 1), (0, 256), (0, 257), (200, 400), (255, 2), (0, 800)])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("bfloat16", 0.01), ("int8", 0.02)])
def test_a_softmax_over_the_keys_in_sight(dtype: KvDtype, tolerance: float, first: int, count: int) -> None:
    random = np.random.default_rng(first + count)
    q = random.standard_normal((KV_HEADS, GROUP, HEAD_DIM)).astype(np.float32)
    keys, values = random.standard_normal((2, count, KV_HEADS, HEAD_DIM)).astype(np.float32)
    places = random.permutation(1000)[:count]
    shape = (1000, KV_HEADS, HEAD_DIM)
    caches = [KvCells(shape, dtype, KEY_GROUP), KvCells(shape, dtype)]
    for cache, rows in zip(caches, (keys, values), strict=True):
        cache.write(places, rows)
    keys_seen, values_seen = (cache.read(places) for cache in caches)
    mixed = attend(q, keys_seen, values_seen, np.arange(first, first + count), Scoring(0.25))
    scores = 0.25 * np.einsum("hgd,nhd->hgn", q.astype(np.float64), keys)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    expected = np.einsum("hgn,nhd->hgd", weights / weights.sum(axis=-1, keepdims=True), values)
    assert np.abs(mixed - expected).max() < tolerance * np.abs(values).max()


def test_what_a_cell_keeps() -> None:
    dtypes: tuple[KvDtype, ...] = ("float32", "bfloat16", "int8")
    heads = np.array([[[1.0 + 2**-8, -3.0, 127.4]]], dtype=np.float32)
    kept = {}
    for dtype in dtypes:
        cache = KvCells((4, 1, 3), dtype)
        cache.write(np.array([2]), heads)
        rows = cache.read(np.array([2]))
        kept[dtype] = rows.cells if rows.scales is None else rows.cells * rows.scales
    np.testing.assert_array_equal(kept["float32"], heads)
    np.testing.assert_array_equal(kept["bfloat16"], [[[1.0, -3.0, 127.5]]])  # the first is a tie, which goes to even
    np.testing.assert_allclose(kept["int8"], np.array([[[1.0, -3.0, 127.0]]]) * (127.4 / 127), rtol=1e-6)
