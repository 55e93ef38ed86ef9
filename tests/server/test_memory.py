"""How large a KV cache is by the memory that is free."""

from __future__ import annotations

from pathlib import Path

import pytest

import honed
from honed.backends.options import RunOptions
from honed.server.memory import KV_SHARE, LEAST_KV_TOKENS, MOST_KV_TOKENS, footprint


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
