"""Golden models of families with experts, written for llama.cpp and read back by honed's own reader of GGUF files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honed.bench.peers.base import PeerError
from honed.bench.peers.gguf_model import file_footprint, write_gguf
from honed.bench.peers.gguf_tensors import architecture_of, stored_tensors
from honed.checkpoints.gguf.checkpoint import GgufCheckpoint
from honed.checkpoints.synthetic import tokenizer
from honed.encodings.dense import bfloat16_to_float32, float32_to_bfloat16
from tiny_models import golden

pytest.importorskip("gguf")
FAMILIES = ["mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "granitemoe", "granite"]


def dense(family: str, folder: Path, **changed: Any) -> Path:
    """The directory of a golden model beside a tokenizer."""
    directory = folder / family
    shutil.copytree(golden(family).checkpoint.path, directory)
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, **changed}))
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer(300)))
    return directory


@pytest.mark.parametrize("family", FAMILIES)
def test_file_is_the_same_model(family: str, tmp_path: Path) -> None:
    write_gguf(dense(family, tmp_path), tmp_path / "m.gguf", "gpt-2")
    written, source = GgufCheckpoint(tmp_path / "m.gguf"), golden(family).checkpoint
    assert set(written.names) == set(source.names)
    for name in written.names:
        rounded = bfloat16_to_float32(float32_to_bfloat16(source.weight(name).decode()))
        assert np.array_equal(written.weight(name).decode(), rounded), name
    told = ("num_experts_per_tok", "norm_topk_prob", "shared_expert_intermediate_size", "moe_intermediate_size")
    scales = ("embedding_multiplier", "residual_multiplier", "attention_multiplier", "logits_scaling")
    for key in (*told, *scales):
        if key in source.config:
            assert written.config[key] == np.float32(source.config[key]), key


def test_footprint_counts_the_experts_that_a_token_goes_through(tmp_path: Path) -> None:
    write_gguf(dense("granitemoe", tmp_path), tmp_path / "m.gguf", "gpt-2")
    footprint, _ = file_footprint(tmp_path / "m.gguf")
    experts = 2 * 6 * 3 * 48 * 88
    others = 2 * (2 * 48 * 48 + 2 * 24 * 48 + 6 * 48)
    assert footprint.expert_bytes == 2 * experts
    assert footprint.expert_share == 2 / 6
    assert footprint.prompt_operations == 2 * (others + experts // 3)
    routers = 2 * 6 * 48 * 4
    assert footprint.weight_bytes == 2 * (others - 2 * 6 * 48) + routers + 2 * (experts // 3) + 2 * 97 * 48


def test_what_llama_cpp_would_compute_otherwise_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match=r"norm_topk_prob False: llama\.cpp has no qwen3moe with that"):
        write_gguf(dense("qwen3_moe", tmp_path, norm_topk_prob=False), tmp_path / "m.gguf", "gpt-2")


def test_a_weight_without_a_name(tmp_path: Path) -> None:
    directory = dense("gpt2", tmp_path)
    config = json.loads((directory / "config.json").read_text())
    with pytest.raises(PeerError, match="GGUF has no name for this weight that is known here"):
        list(stored_tensors(directory, config))


def test_names_of_architectures() -> None:
    assert architecture_of({"model_type": "mixtral"}) == "llama"
    assert architecture_of({"model_type": "granitemoe"}) == "granitemoe"
