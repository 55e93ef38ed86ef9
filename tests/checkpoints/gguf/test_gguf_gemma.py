"""Gemma in GGUF files: what they leave out, how windows are stated, and norms that lie there whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from gguf_builder import HEAD_DIM, HEADS, HIDDEN, random_arrays, write_model
from honed.checkpoints.gguf.checkpoint import GgufCheckpoint
from honed.checkpoints.gguf.names import huggingface_name
from honed.errors import FormatError, UnsupportedError
from honed.models.gemma2 import FAMILY as GEMMA2
from honed.models.gemma2 import Gemma2
from honed.models.gemma3 import FAMILY as GEMMA3
from honed.models.gemma3 import Gemma3
from honed.models.registry import read_model

NORMS = (
    "input_layernorm",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "post_feedforward_layernorm",
    "self_attn.q_norm",
    "self_attn.k_norm",
)


def opened(path: Path, architecture: str, **changed: Any) -> GgufCheckpoint:
    """Keyword arguments are metadata keys of the architecture, double underscores for dots."""
    keys = {"." + key.replace("__", "."): value for key, value in changed.items()}
    return GgufCheckpoint(write_model(path / "m.gguf", architecture, changed=keys))


def gemma2(path: Path, **changed: Any) -> Gemma2:
    model = read_model(opened(path, "gemma2", **changed).config)
    assert isinstance(model, Gemma2)
    return model


def gemma3(path: Path, **changed: Any) -> Gemma3:
    model = read_model(opened(path, "gemma3", **changed).config)
    assert isinstance(model, Gemma3)
    return model


@pytest.mark.parametrize("norm", NORMS)
def test_names_against_the_table_of_the_gguf_package(norm: str) -> None:
    table = gguf.get_tensor_name_map(gguf.MODEL_ARCH.GEMMA3, 20)
    stored = {name for name in table.mapping if name == f"model.layers.17.{norm}"}
    assert stored
    name = {
        "post_attention_layernorm": "blk.17.post_attention_norm",  # the package's table has it of other families too
        "pre_feedforward_layernorm": "blk.17.ffn_norm",
    }.get(norm) or table.get_name(f"model.layers.17.{norm}")
    assert huggingface_name(f"{name}.weight", GEMMA3) == f"model.layers.17.{norm}.weight"
    if "self_attn" not in norm:
        assert huggingface_name(f"{name}.weight", GEMMA2) == f"model.layers.17.{norm}.weight"


def test_a_gemma_2_that_states_nothing(tmp_path: Path) -> None:
    model = gemma2(tmp_path, attention__key_length=HEAD_DIM, attention__value_length=HEAD_DIM)
    assert (model.score_cap, model.logit_cap) == (50.0, 30.0)
    assert model.windows == (4096, None)
    assert model.score_scale == HEAD_DIM**-0.5
    assert model.config.activation == "gelu_tanh"


def test_a_gemma_2_that_states_all(tmp_path: Path) -> None:
    model = gemma2(tmp_path, attn_logit_softcapping=20.0, final_logit_softcapping=10.0, attention__sliding_window=7)
    assert (model.score_cap, model.logit_cap, model.windows) == (20.0, 10.0, (7, None))


def test_a_gemma_3_that_states_nothing(tmp_path: Path) -> None:
    model = gemma3(tmp_path)
    assert model.windows == (None, None)
    assert model.logit_cap is None
    assert model.sliding_rotary.inverse_frequencies == pytest.approx(1e4 ** -(np.arange(0, HEAD_DIM, 2) / HEAD_DIM))


def test_scaling_is_that_of_the_layers_that_see_all(tmp_path: Path) -> None:
    keys = {"rope__freq_base": 1e6, "rope__freq_base_swa": 2e4, "attention__sliding_window": 9}
    plain, scaled = gemma3(tmp_path, **keys), gemma3(tmp_path, **keys, rope__scaling__factor=8.0)
    assert scaled.rotary.inverse_frequencies[0] == plain.rotary.inverse_frequencies[0] / 8
    assert scaled.sliding_rotary == plain.sliding_rotary
    assert plain.sliding_rotary.inverse_frequencies[1] == pytest.approx(2e4 ** (-2 / HEAD_DIM))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [(None, (9, 9)), (2, (9, None)), (1, (None, None)), (0, (9, 9)), ([False, True], (None, 9))],
)
def test_which_layers_slide(tmp_path: Path, pattern: Any, expected: tuple[int | None, ...]) -> None:
    model = gemma3(tmp_path, attention__sliding_window=9, attention__sliding_window_pattern=pattern)
    assert model.windows == expected


def test_a_pattern_of_another_length(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"gemma3.attention.sliding_window_pattern: must be one bool for each of 2"):
        opened(tmp_path, "gemma3", attention__sliding_window=9, attention__sliding_window_pattern=[True] * 3)


def test_caps_that_a_gemma_3_has_not(tmp_path: Path) -> None:
    assert gemma3(tmp_path, final_logit_softcapping=30.0).logit_cap == 30.0
    with pytest.raises(UnsupportedError, match=r"gemma3.attn_logit_softcapping: is 50"):
        opened(tmp_path, "gemma3", attn_logit_softcapping=50.0)


@pytest.mark.parametrize("architecture", ["gemma2", "gemma3"])
def test_norms_lie_there_with_the_one_that_is_added(tmp_path: Path, architecture: str) -> None:
    checkpoint = opened(tmp_path, architecture)
    arrays = random_arrays(architecture)
    for name, array in (
        ("model.norm.weight", arrays["output_norm.weight"]),
        ("model.layers.1.post_feedforward_layernorm.weight", arrays["blk.1.post_ffw_norm.weight"]),
        ("model.layers.0.self_attn.q_proj.weight", arrays["blk.0.attn_q.weight"]),
    ):
        assert np.array_equal(checkpoint.weight(name).decode(), array)


def test_the_largest_scale_by_the_width_of_a_row(tmp_path: Path) -> None:
    from honed.checkpoints.gguf.gemma import gemma_config
    from honed.checkpoints.gguf.keys import Keys

    metadata = opened(tmp_path, "gemma3").header.metadata
    metadata.values["gemma3.block_count"] = 62
    assert gemma_config(Keys(metadata, "gemma3"), HIDDEN, HEADS, 128)["query_pre_attn_scalar"] == HIDDEN // HEADS
    metadata.values["gemma3.block_count"] = 48
    assert gemma_config(Keys(metadata, "gemma3"), HIDDEN, HEADS, 128)["query_pre_attn_scalar"] == 128
