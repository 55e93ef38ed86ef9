"""Caches in groups with pages and tables of their own: that no bit changes, and that every table is checked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from native_plans import ints, native
from test_bindings_executor import (
    CACHES,
    HEAD_DIM,
    KV_HEADS,
    MODEL,
    PAGES,
    SOUND,
    TOKENS,
    VOCABULARY,
    make,
    one_sequence,
)


def two_groups(pages: tuple[int, int] = (PAGES, 4)) -> Any:
    """Of a model whose layers see 20 keys: the second one has pages of its own."""
    cache = native.Cache(CACHES, list(pages), "float32", [0, 1])
    assert cache.pages == list(pages)
    assert cache.page_bytes == [2 * KV_HEADS * HEAD_DIM * 32 * 4] * 2
    return native.Executor(MODEL.plan(quantized=False, window=20), cache, 128, 128, 2)


def test_a_table_for_each_group() -> None:
    """The second group uses two pages in turn, which hold all that a row sees; no bit changes."""
    expected = one_sequence(TOKENS).run(make(MODEL.plan(quantized=False, window=20)))
    executor, parts = two_groups(), []
    tables = np.array([[[3, 0, 5]], [[1, 3, 1]]], dtype=np.int32)
    for first, last in ((0, 32), (32, 50), (50, 64), (64, 75)):
        step = one_sequence(TOKENS[first:last], first)
        parts.append(replace(step, page_tables=tables).run(executor))
    np.testing.assert_array_equal(np.concatenate(parts), expected)


def test_one_table_for_all_groups() -> None:
    expected = one_sequence(TOKENS).run(make(MODEL.plan(quantized=False, window=20)))
    step = one_sequence(TOKENS, pages=(3, 0, 2))
    np.testing.assert_array_equal(step.run(two_groups()), expected)
    with pytest.raises(ValueError, match=r"page_tables\[0\]\[2\] = 5: must be a page from 0 to 3"):
        one_sequence(TOKENS).run(two_groups())


@pytest.mark.parametrize(
    ("tables", "match"),
    [
        ([[[2, 3], [0, 1]]] * 3, "page_tables: groups = 3: must be 2, as many as the cache has"),
        ([[[2, 3], [0, 12]], [[2, 3], [0, 1]]], r"page_tables\[0\]\[1\]\[1\] = 12: must be a page from 0 to 11"),
        ([[[2, 3], [0, 11]], [[2, 4], [0, 1]]], r"page_tables\[1\]\[0\]\[1\] = 4: must be a page from 0 to 3"),
        ([[[2, 3], [0, 11]], [[-1, 3], [0, 1]]], r"page_tables\[1\]\[0\]\[0\] = -1"),
        ([[[2, 3], [0, 1]], [[2, 3], [0, 3]]], "page = 3: two rows"),
        ([[[], []], [[], []]], "room for 0 positions"),
    ],
)
def test_bad_tables_of_groups(tables: list[Any], match: str) -> None:
    executor = two_groups()
    sound = replace(SOUND, positions=ints([33, 34, 33, 34]))
    assert sound.run(executor).shape == (2, VOCABULARY)
    with pytest.raises(ValueError, match=match):
        replace(sound, page_tables=np.array(tables, dtype=np.int32)).run(executor)
    with pytest.raises(ValueError, match="page_tables has 4 dimensions"):
        replace(sound, page_tables=np.array([tables], dtype=np.int32)).run(executor)
