"""Weights of a plan that are packed once and found again, and packed again where what was kept has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from honed.backends import packed_cache
from honed.backends.native_weights import NativeWeights
from honed.checkpoints import file_state
from honed.checkpoints.open import open_checkpoint
from honed.models.registry import read_model
from honed.native import extension
from honed.plan.build import build_plan


def test_what_is_made_of_damaged_weights_is_made_again(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_cache, "cache_directory", lambda: tmp_path)
    monkeypatch.setattr(file_state, "SETTLED_S", 0.0)
    checkpoint = open_checkpoint(str(tiny_llama))
    stages = build_plan(read_model(checkpoint.config), checkpoint, "float32")
    made: list[list[bytes]] = []
    told: list[None] = []

    def make(weights: list[extension.Weight]) -> int:
        made.append([weight.data.tobytes() for weight in weights])
        return len(made)

    def use() -> int:
        return NativeWeights(checkpoint, "float32", 2, keep=True).use(stages, make, lambda: told.append(None))

    assert [use(), use()] == [1, 2]
    (kept,) = (tmp_path / "packed").glob("*.packed")
    content = bytearray(kept.read_bytes())
    content[-1] ^= 1
    kept.write_bytes(content)
    assert use() == 4
    assert made[0] == made[1] == made[3]
    assert len(told) == 3
