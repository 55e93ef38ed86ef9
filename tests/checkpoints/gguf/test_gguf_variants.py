"""Metadata that would change the result: refused by name, or neutral."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from gguf_builder import HEAD_DIM, HIDDEN, write_model
from honed.checkpoints.gguf.checkpoint import GgufCheckpoint
from honed.errors import UnsupportedError

CHANGES: dict[str, tuple[Any, ...]] = {
    ".expert_used_count": (2,),
    ".logit_scale": (0.5, float("nan")),
    ".residual_scale": (0.22,),
    ".embedding_scale": (12.0,),
    ".attn_logit_softcapping": (50.0,),
    ".final_logit_softcapping": (30.0,),
    ".use_parallel_residual": (True,),
    ".hidden_activation": ("gelu",),
    ".embedding_length_out": (HIDDEN * 2,),
    ".swiglu_clamp_exp": ([7.0, 7.0],),
    ".ssm.state_size": (16,),
    ".attention.causal": (False,),
    ".attention.scale": (0.5, float("nan")),
    ".attention.clamp_kqv": (8.0,),
    ".attention.max_alibi_bias": (8.0,),
    ".attention.temperature_scale": (0.1,),
    ".attention.shared_kv_layers": (1,),
    ".attention.key_length_swa": (HEAD_DIM * 2,),
    ".attention.invented_later": (1, "text", [0, 1]),
    ".rope.dimension_count": (HEAD_DIM // 2,),
    ".rope.dimension_sections": ([4, 2, 2, 0],),
    ".rope.freq_base_swa": (500.0,),
    ".rope.scaling.alpha": (1000.0,),
    ".rope.scaling.attn_factor": (2.0,),
    ".rope.invented_later": (0.25,),
    "general.type": ("adapter", "mmproj"),
}
NEUTRAL: dict[str, tuple[Any, ...]] = {
    ".expert_count": (0,),
    ".logit_scale": (0.0, 1.0),
    ".residual_scale": (1.0,),
    ".use_parallel_residual": (False,),
    ".hidden_activation": ("silu",),
    ".embedding_length_out": (HIDDEN,),
    ".attention.causal": (True,),
    ".attention.scale": (HEAD_DIM**-0.5, 0.0),
    ".attention.clamp_kqv": (0.0,),
    ".attention.layer_norm_epsilon": (1e-5,),
    ".attention.key_length": (HEAD_DIM,),
    ".attention.invented_later": (0, False, [0, 0]),
    ".rope.dimension_count": (HEAD_DIM,),
    ".rope.dimension_sections": ([HEAD_DIM // 2, 0, 0, 0],),
    ".rope.freq_base_swa": (10000.0,),
    ".rope.scaling.attn_factor": (1.0,),
    ".rope.scaling.finetuned": (True,),
    ".pooling_type": (3,),
    ".tensor_data_layout": ("Meta AI original pth",),
    "general.type": ("model",),
    "general.quantization_version": (2,),
    "qwen2.attention.causal": (False,),
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in CHANGES.items() for value in values])
def test_what_would_change_the_result_is_refused_by_name(tmp_path: Path, key: str, value: Any) -> None:
    name = f"llama{key}" if key.startswith(".") else key
    with pytest.raises(UnsupportedError, match=f"m.gguf: {name}[: ]"):
        GgufCheckpoint(write_model(tmp_path / "m.gguf", changed={key: value}))


@pytest.mark.parametrize("key", ["expert_count", "expert_used_count", "expert_gating_func"])
def test_experts_of_an_architecture_that_has_none(tmp_path: Path, key: str) -> None:
    with pytest.raises(UnsupportedError, match=f"m.gguf: qwen2.{key}: is 8, and supported is 0 here"):
        GgufCheckpoint(write_model(tmp_path / "m.gguf", "qwen2", changed={f".{key}": 8}))


def test_what_changes_nothing_is_not(tmp_path: Path) -> None:
    plain = GgufCheckpoint(write_model(tmp_path / "m.gguf")).config
    for key, values in NEUTRAL.items():
        for value in values:
            found = GgufCheckpoint(write_model(tmp_path / "m.gguf", changed={key: value})).config
            assert found == plain, key


def test_blocks_of_another_version(tmp_path: Path) -> None:
    changed = {"general.quantization_version": 1}
    kinds = gguf.GGMLQuantizationType
    with pytest.raises(UnsupportedError, match=r"general.quantization_version: is 1, and blocks are read in version 2"):
        GgufCheckpoint(write_model(tmp_path / "m.gguf", changed=changed, kind=kinds.Q8_0))
    weight = GgufCheckpoint(write_model(tmp_path / "m.gguf", changed=changed)).weight("model.norm.weight")
    assert np.isfinite(weight.decode()).all()
