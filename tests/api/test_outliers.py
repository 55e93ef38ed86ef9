"""Layers whose int4 form would be infinite in float16 stay dense, and compress says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from divisible_models import save_llama
from honed.api.compress import compress
from honed.api.outliers import without_outliers
from honed.compress.recipe import read_recipe
from honed.encodings.dense import Dense, float32_to_bfloat16

LAYER = "model.layers.0.self_attn.o_proj.weight"


def with_outlier(directory: Path, value: float) -> Path:
    from safetensors.numpy import load_file, save_file

    source = save_llama(directory)
    tensors = load_file(source / "model.safetensors")
    tensors[LAYER] = tensors[LAYER].copy()
    tensors[LAYER][3, 5] = value
    save_file(tensors, source / "model.safetensors", {"format": "pt"})
    return source


@pytest.mark.parametrize("value", [7e4, -7e4, 1e6, 65_000.0, 50_000.0])
@pytest.mark.parametrize("recipe", ["int4", "int4-zero-point"])
def test_transformers_reads_finite_weights(tmp_path: Path, value: float, recipe: str) -> None:
    from transformers import AutoModelForCausalLM

    source = with_outlier(tmp_path / "source", value)
    report = compress(source, recipe, out=tmp_path / "out", threads=1, portable=True)
    noted = [note for note in report.notes if note.startswith(f"{LAYER}: reaches")]
    assert len(noted) == (abs(value) > 56_000)
    assert all("stays dense" in note for note in noted)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    weight = model.get_submodule(LAYER.removesuffix(".weight")).weight.detach()
    assert torch.isfinite(weight).all()
    assert float(weight[3, 5]) == pytest.approx(value, rel=0.07)


def test_only_layers_in_int4_are_looked_at_and_only_large_ones_changed() -> None:
    values = np.zeros((300, 512), np.float32)
    weights = {f"a.{name}.weight": Dense(values, "float32") for name in ("small", "dense", "int8")}
    large = values.copy()
    large[299, 511] = -60_000
    weights |= {f"a.{name}.weight": Dense(large, "float32") for name in ("large[0]", "dense", "int8")}
    weights["a.bits.weight"] = Dense(float32_to_bfloat16(large), "bfloat16")
    recipe = read_recipe(
        {
            "passes": [
                {
                    "pass": "round_to_nearest",
                    "weights": {"bits": 4, "group": 32},
                    "overrides": [
                        {"modules": "*.dense", "setting": "dense"},
                        {"modules": "*.int8", "setting": {"weights": {"bits": 8, "group": 32}}},
                    ],
                }
            ]
        }
    )
    changed, notes = without_outliers(recipe, list(weights), weights)
    assert [note.split(":")[0] for note in notes] == ["a.large[0].weight", "a.bits.weight"]
    assert [changed.encodes(name) for name in ("a.large[0]", "a.large0", "a.bits", "a.small")] == [
        False,
        True,
        False,
        True,
    ]
    assert without_outliers(recipe, ["a.small.weight"], weights) == (recipe, ())


def test_an_untied_head_does_not_keep_transformers_from_reading_zero_points(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    source = save_llama(tmp_path / "source", tie_word_embeddings=False)
    report = compress(source, "int4", out=tmp_path / "out", threads=1)
    assert [note for note in report.notes if note.startswith("lm_head.weight: lies there dense too")]
    logits = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)(torch.tensor([[5, 6]])).logits
    assert torch.isfinite(logits).all()
    once = compress(source, "int4", out=tmp_path / "once", threads=1, portable=False)
    assert not [note for note in once.notes if "lm_head" in note]
    assert once.bytes < report.bytes
