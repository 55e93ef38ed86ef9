"""How large a KV cache is by the memory that is free."""

from __future__ import annotations

from pathlib import Path

import pytest

import honed
from honed.backends.open import open_backend
from honed.backends.options import RunOptions
from honed.checkpoints.open import open_checkpoint
from honed.server.memory import KV_SHARE, LEAST_KV_TOKENS, MOST_KV_TOKENS, footprint
from tiny_models import golden


def test_the_cache_is_a_share_of_what_is_free(tiny_llama: Path) -> None:
    run = RunOptions()
    for free in (1 << 20, 64 << 20, 1 << 30, 1 << 40):
        found = footprint(str(tiny_llama), run, free)
        assert found.weight_bytes > 0
        assert found.kv_tokens % 32 == 0
        if found.kv_tokens > LEAST_KV_TOKENS:
            assert found.kv_bytes <= free * KV_SHARE
        assert found.kv_tokens <= MOST_KV_TOKENS + 256
        assert found.run.context is not None
        assert found.kv_tokens == -(-found.run.context // 32) * 32 * found.run.sequences
    assert (
        footprint(str(tiny_llama), run, 1 << 40).run.sequences > footprint(str(tiny_llama), run, 1 << 24).run.sequences
    )


def test_what_is_asked_for_stays(tiny_llama: Path) -> None:
    found = footprint(str(tiny_llama), RunOptions(context=64, sequences=3), 1 << 10)
    assert found.run == RunOptions(context=64, sequences=3)
    assert found.kv_tokens == 192


@pytest.mark.parametrize("kv", ["float32", "bfloat16", "int8"])
def test_it_is_the_cache_that_is_made(tiny_llama: Path, kv: str) -> None:
    found = footprint(str(tiny_llama), RunOptions(context=64, kv=kv), 1 << 30)  # type: ignore[arg-type]
    with honed.load(tiny_llama, found.run) as model:
        assert isinstance(model, honed.LanguageModel)
        assert model.backend.pages * 32 == found.kv_tokens
    # Two layers of two heads of 12 features; int8 has a scale for each head of a key and of a value.
    cell = {"float32": 4 * 24, "bfloat16": 2 * 24, "int8": 24 + 2 * 4}[kv]
    assert found.kv_bytes == 64 * 2 * 2 * cell


def tiny_gemma() -> str:
    """Every second layer sees five keys."""
    return str(golden("gemma3_capped").checkpoint.path)


def test_layers_with_a_window_take_what_their_pages_do() -> None:
    """Of four sequences of 256 positions: 32 pages in the layers that see all; of each sequence two and of a step
    sixteen where five keys are seen."""
    run = RunOptions(context=256, sequences=4)
    found = footprint(tiny_gemma(), run, 1 << 30)
    full, window = open_backend(open_checkpoint(tiny_gemma()), found.run).page_groups
    assert (full.pages, window.pages, window.window) == (32, 2 * 4 + 16, 5)
    one_layer = footprint(tiny_gemma(), RunOptions(context=32), 1 << 30).kv_bytes // (2 * 32)
    assert found.kv_bytes == 32 * one_layer * (32 + 24)
    assert found.kv_tokens == 4 * 256


def test_the_cache_of_windows_is_a_share_too() -> None:
    sizes = []
    for free in range(1 << 20, 64 << 20, 7 << 20):
        found = footprint(tiny_gemma(), RunOptions(), free)
        assert found.kv_bytes <= (free - found.weight_bytes) * KV_SHARE or found.kv_tokens == 256
        sizes.append(found.run.sequences)
    assert sizes == sorted(set(sizes)), "more memory, more sequences"
