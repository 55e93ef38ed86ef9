"""Tensors that the config does not describe: what changes a result is refused, the rest is named once."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from honed.checkpoints.huggingface.checkpoint import HuggingFaceCheckpoint
from honed.checkpoints.huggingface.directory import SINGLE, Directory
from honed.errors import FormatError
from honed.notes import HonedWarning
from safetensors_builder import write_arrays
from tiny_encoders import golden_encoder

LAYER = "model.layers.1"


def opened(source: Path, path: Path, extra: Mapping[str, NDArray[Any]], **config: Any) -> HuggingFaceCheckpoint:
    shutil.copytree(source, path)
    whole = Directory(path)
    write_arrays(path / SINGLE, {name: np.array(whole.tensor(name)) for name in whole.names} | dict(extra))
    settings = json.loads((path / "config.json").read_text()) | config
    (path / "config.json").write_text(json.dumps(settings))
    return HuggingFaceCheckpoint(Directory(path))


@pytest.mark.parametrize(
    "name",
    [
        f"{LAYER}.self_attn.q_proj.bias",
        f"{LAYER}.self_attn.q_norm.weight",
        f"{LAYER}.self_attn.q_proj.lora_A.weight",
        f"{LAYER}.self_attn.sinks",
        f"{LAYER}.mlp.down_proj.bias",
        f"{LAYER}.mlp.experts.0.up_proj.weight",
        f"{LAYER}.input_layernorm.bias",
        f"{LAYER}.post_feedforward_layernorm.weight",
        "model.norm.bias",
        "model.embedding_norm.weight",
        "lm_head.bias",
    ],
)
def test_what_changes_the_result_is_refused_by_name(tiny_llama: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(FormatError, match=rf"{name}: the model has no such weight by config.json \(model_type llama\)"):
        opened(tiny_llama, tmp_path / "m", {name: np.full(8, 0.5, np.float32)})


def test_the_field_that_may_be_missing_is_named(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="is attention_bias or mlp_bias missing there"):
        opened(tiny_llama, tmp_path / "m", {f"{LAYER}.self_attn.q_proj.bias": np.ones(48, np.float32)})


@pytest.mark.parametrize(
    "name",
    [
        f"{LAYER}.self_attn.rotary_emb.inv_freq",
        "model.rotary_emb.inv_freq",
        f"{LAYER}.self_attn.k_scale",
    ],
)
def test_buffers_are_not_spoken_of(tiny_llama: Path, tmp_path: Path, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened(tiny_llama, tmp_path / "m", {name: np.ones(4, np.float32)})


def test_a_bias_that_is_zero_changes_nothing(tiny_llama: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened(tiny_llama, tmp_path / "m", {f"{LAYER}.self_attn.q_proj.bias": np.zeros(48, np.float32)})


def test_parts_of_a_larger_model_are_named_once(tiny_llama: Path, tmp_path: Path) -> None:
    extra = {f"vision_tower.{number}.weight": np.ones(2, np.float32) for number in range(9)}
    with pytest.warns(HonedWarning, match=r"9 tensors are no part of the model .*: vision_tower.0.weight, .*, \.\.\."):
        opened(tiny_llama, tmp_path / "m", extra)


def encoder(path: Path, extra: Mapping[str, NDArray[Any]]) -> HuggingFaceCheckpoint:
    return opened(golden_encoder("bert").directory, path, extra)


@pytest.mark.parametrize(
    "name",
    [
        "encoder.layer.1.crossattention.self.query.weight",
        "encoder.layer.0.attention.self.distance_embedding.weight",
        "encoder.layer.0.attention.self.query.lora_A.weight",
        "embeddings.entity_embeddings.weight",
    ],
)
def test_what_changes_the_rows_of_an_encoder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FormatError, match=rf"{name}: the model has no such weight by config.json \(model_type bert\)"):
        encoder(tmp_path / "m", {name: np.ones((4, 4), np.float32)})


def test_heads_of_an_encoder_are_named_and_its_buffers_are_not(tmp_path: Path) -> None:
    quiet = encoder(tmp_path / "quiet", {"embeddings.position_ids": np.ones((1, 40), np.int64)})
    assert "embeddings.position_ids" not in quiet.names  # whole numbers are no weights
    with pytest.warns(
        HonedWarning, match="2 tensors are no part of the model and are not read: classifier.weight, lm_"
    ):
        encoder(
            tmp_path / "m",
            {"classifier.weight": np.ones((2, 48), np.float32), "lm_head.dense.weight": np.ones((2, 2), np.float32)},
        )
