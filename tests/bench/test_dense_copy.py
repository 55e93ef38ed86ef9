from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models

from honed.bench.peers.dense_copy import dense_directory
from honed.checkpoints.base import Kind
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.encodings.int8 import Int8
from honed.text.tokenizer import Tokenizer


class Memory:
    """A checkpoint whose weights are in memory, with one file to take a fingerprint of."""

    def __init__(self, path: Path, kind: Kind, weights: Mapping[str, Encoded]) -> None:
        self.path = path
        self.kind = kind
        self.config: Mapping[str, Any] = {"model_type": "llama", "quantization_config": {"x": 1}}
        self._weights = weights
        (path / "w.safetensors").write_bytes(b"1")

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path / "w.safetensors",)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._weights)

    def weight(self, name: str) -> Encoded:
        return self._weights[name]

    def tokenizer(self) -> Tokenizer:
        fast = FastTokenizer(models.WordLevel({"a": 0, "<s>": 1}, unk_token="a"))
        return Tokenizer(fast, frozenset({1}), special_tokens={"bos_token": "<s>"})


@pytest.fixture
def int8(tmp_path: Path) -> Memory:
    path = tmp_path / "model"
    path.mkdir()
    generator = np.random.default_rng(0)
    codes = generator.integers(-127, 128, (6, 5)).astype(np.int8)
    scales = generator.random(6, dtype=np.float32)
    norm = np.array([1.0, 2.0, 0.5], dtype=np.float32)
    return Memory(path, "artifact", {"w": Int8(codes, scales), "norm": Dense(norm, "float32")})


def test_copy_holds_the_decoded_weights(int8: Memory, tmp_path: Path) -> None:
    import torch

    copy = dense_directory(int8, tmp_path / "cache")
    with safe_open(copy / "model.safetensors", framework="pt") as file:
        assert set(file.keys()) == {"w", "norm"}
        for name in ("w", "norm"):
            stored = file.get_tensor(name)
            assert stored.dtype == torch.bfloat16
            assert torch.equal(stored, torch.from_numpy(int8.weight(name).decode()).to(torch.bfloat16))
    assert "quantization_config" not in (copy / "config.json").read_text()
    assert FastTokenizer.from_file(str(copy / "tokenizer.json")).token_to_id("<s>") == 1


def test_copy_is_made_once_and_again_after_a_change(int8: Memory, tmp_path: Path) -> None:
    first = dense_directory(int8, tmp_path / "cache")
    stamp = (first / "model.safetensors").stat().st_mtime_ns
    assert dense_directory(int8, tmp_path / "cache") == first
    assert (first / "model.safetensors").stat().st_mtime_ns == stamp
    int8.files[0].write_bytes(b"2")
    assert dense_directory(int8, tmp_path / "cache") != first


def test_dense_directory_is_used_where_it_is(tmp_path: Path) -> None:
    weights = {"w": Dense(np.zeros((2, 2), dtype=np.float32), "float32")}
    assert dense_directory(Memory(tmp_path, "huggingface", weights), tmp_path / "cache") == tmp_path
    assert not (tmp_path / "cache").exists()


def test_failed_copy_leaves_nothing(int8: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Tokenizer:
        raise RuntimeError("no tokenizer")

    monkeypatch.setattr(int8, "tokenizer", fail)
    with pytest.raises(RuntimeError):
        dense_directory(int8, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
