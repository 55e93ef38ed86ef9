from __future__ import annotations

import numpy as np
import pytest

from honed.backends.base import Backend, Batch, PageGroup, span_pages
from honed.backends.capacity import (
    cache_groups,
    check_step_tokens,
    kv_pages,
    made_for,
    ring_tables,
    window_pages,
)
from honed.backends.interpreter import InterpreterBackend, InterpreterConfig
from honed.backends.native import NativeBackend
from honed.backends.native_config import NativeConfig
from honed.backends.options import RunOptions
from honed.backends.pytorch import PyTorchBackend, PyTorchConfig
from honed.errors import ParameterError
from honed.models.recorded import recorded
from honed.models.registry import read_model
from tiny_models import golden


def test_pages_cover_the_tokens() -> None:
    assert [kv_pages(tokens, 10) for tokens in (1, 32, 33)] == [1, 1, 2]
    assert kv_pages(None, 100) == 4
    assert kv_pages(None, 1 << 20) == 16384 // 32


@pytest.mark.parametrize("tokens", [0, -1, 1 << 40])
def test_a_capacity_out_of_range_is_refused(tokens: int) -> None:
    with pytest.raises(ParameterError, match="kv_tokens"):
        kv_pages(tokens, 100)
    with pytest.raises(ParameterError, match="step_tokens"):
        check_step_tokens(tokens)


@pytest.mark.parametrize(
    ("family", "windows", "of_cache"),
    [
        ("mistral", [7], (0, 0)),
        ("llama2", [None], (0, 0)),
        ("qwen2_sliding", [None, 5], (0, 1)),
    ],
)
def test_groups_are_the_windows_of_layers(family: str, windows: list[int | None], of_cache: tuple[int, ...]) -> None:
    groups = cache_groups(recorded(read_model(golden(family).checkpoint.config)), 100, 512, None)
    assert [group.window for group in groups.groups] == windows
    assert groups.of_cache == of_cache
    assert groups.groups[0] == PageGroup(100, windows[0])


def test_pages_of_a_window() -> None:
    """Of a window of 5: a sequence sees 2 pages, a step of 512 rows writes 16."""
    graph = recorded(read_model(golden("qwen2_sliding").checkpoint.config))

    def made(pages: int, sequences: int | None) -> PageGroup:
        return cache_groups(graph, pages, 512, sequences).groups[1]

    assert made(1000, None) == PageGroup(1000, 5, enough=2 + 16)
    assert made(60, 1) == PageGroup(18, 5)
    assert made(60, 4) == PageGroup(24, 5)
    assert made(1000, 4) == PageGroup(250, 5), "a quarter, for shorter sequences"
    assert made(5, 1) == PageGroup(5, 5), "never more than the first group"
    assert window_pages(512, 512, 1) == 17 + 16


@pytest.mark.parametrize("positions", [1, 2, 31, 32, 33, 34, 64, 65, 66])
def test_pages_that_positions_in_a_row_lie_in(positions: int) -> None:
    assert span_pages(positions) == max((first + positions - 1) // 32 - first // 32 + 1 for first in range(64))


def test_a_ring_for_one_sequence() -> None:
    tables = ring_tables([PageGroup(8), PageGroup(3, 7)], 200)
    np.testing.assert_array_equal(tables, [[range(7)], [[0, 1, 2, 0, 1, 2, 0]]])
    assert tables.dtype == np.int32


def gemma(backend: str, sequences: int | None) -> Backend:
    """Gemma 2 with a window of 7."""
    made = golden("gemma2").checkpoint
    if backend == "native":
        return NativeBackend.load(made, NativeConfig(threads=1, step_tokens=16, sequences=sequences))
    if backend == "pytorch":
        return PyTorchBackend.load(made, PyTorchConfig(step_tokens=16, sequences=sequences))
    return InterpreterBackend.load(made, InterpreterConfig(step_tokens=16, sequences=sequences))


@pytest.mark.parametrize("backend", ["native", "pytorch", "interpreter"])
def test_a_ring_changes_no_bit(backend: str) -> None:
    """110 positions in steps of 16, on three pages of the window."""
    tokens = np.arange(110, dtype=np.int32) * 7 % 90
    found = []
    for sequences in (None, 1):
        loaded = gemma(backend, sequences)
        groups = loaded.page_groups
        assert [group.pages for group in groups] == ([8, 8] if sequences is None else [8, 3])
        tables = ring_tables(groups, len(tokens))
        logits = []
        for start in range(0, len(tokens), 16):
            rows = np.arange(len(tokens[start : start + 16]), dtype=np.int32)
            logits.append(loaded.forward(Batch(tokens[start + rows], start + rows, 0 * rows, tables, rows)))
        found.append(np.concatenate(logits))
    np.testing.assert_array_equal(found[1], found[0])


def test_who_says_for_how_many_sequences() -> None:
    assert made_for(RunOptions()) is None
    assert made_for(RunOptions(context=64)) == 1
    assert made_for(RunOptions(context=64, sequences=5)) == 5
