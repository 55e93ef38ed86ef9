"""Pruning as others see it: a dense checkpoint of the family that transformers loads, or an encoded artifact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import honed
from divisible_models import save_family, save_llama, save_qwen2
from honed.api.compress import compress
from honed.checkpoints.artifact.checkpoint import Artifact
from honed.models.recorded import recorded
from honed.models.registry import read_any
from honed.ops.reference import GrowingStore, Rows, Step, run

TOKENS = [1, 5, 9, 3, 20, 14, 7, 30, 2, 11]
NEURONS = {"pass": "prune_neurons", "share": 0.4}
HEADS = {"pass": "prune_heads", "groups": 1}
LAYERS = {"pass": "prune_layers", "count": 1}
SMALL = {"calibration": {"text": "built-in", "tokens": 64, "window": 16}}


def save(kind: str, directory: Path) -> Path:
    if kind == "llama":
        return save_llama(directory, num_hidden_layers=4, attention_bias=True, mlp_bias=True)
    if kind == "qwen2":
        return save_qwen2(directory, num_hidden_layers=4)
    return save_family(directory, kind, num_hidden_layers=4, **({"ffn_dim": 160} if kind == "opt" else {}))


CASES: dict[str, list[dict[str, Any]]] = {
    "llama": [NEURONS, HEADS, LAYERS],
    "qwen2": [LAYERS, NEURONS, HEADS],
    "qwen3": [NEURONS, HEADS, LAYERS],
    "starcoder2": [NEURONS, LAYERS],
    "opt": [NEURONS, LAYERS],
}


@pytest.mark.parametrize("kind", CASES)
def test_transformers_loads_the_result_and_gives_the_same_logits(kind: str, tmp_path: Path) -> None:
    source = save(kind, tmp_path / kind)
    report = compress(source, {"passes": CASES[kind], **SMALL}, out=tmp_path / "out")
    assert report.bytes < 0.8 * sum(file.stat().st_size for file in source.glob("*.safetensors"))
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert "quantization_config" not in config
    model = read_any(config)
    artifact = Artifact(tmp_path / "out")
    assert {name: artifact.weight(name).shape for name in artifact.names} == {
        name: weight.shape for name, weight in model.weights().items()
    }
    reference = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    with torch.no_grad():
        expected = reference(torch.tensor([TOKENS])).logits[0].numpy()
    tensors = {name: torch.from_numpy(artifact.weight(name).decode()) for name in artifact.names}
    rows = Rows.single(torch.tensor(TOKENS))
    found = run(recorded(model), Step(tensors, rows, GrowingStore()))["logits"].numpy()
    spread = float(expected.max() - expected.min())
    assert float(np.abs(found - expected).max()) < 1e-5 * spread
    with honed.load(tmp_path / "out", dtype="float32", kv="float32") as loaded:
        assert loaded.generate(TOKENS, max_tokens=1, temperature=0).tokens == (int(expected[-1].argmax()),)


def test_the_number_of_layers_and_widths_stand_in_the_config(tmp_path: Path) -> None:
    source = save_llama(tmp_path / "llama", num_hidden_layers=4)
    report = compress(source, {"passes": [NEURONS, HEADS, LAYERS], **SMALL}, out=tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    given = {
        name: config[name] for name in ("intermediate_size", "num_hidden_layers", "num_key_value_heads", "head_dim")
    }
    assert given == {"intermediate_size": 96, "num_hidden_layers": 3, "num_key_value_heads": 1, "head_dim": 16}
    assert config["num_attention_heads"] == 2
    notes = " ".join(report.notes)
    assert "96 of 160 neurons are left in each of 4 MLPs" in notes
    assert "1 of 2 groups of 2 heads are left in each of 4 layers" in notes
    assert "of 4 are left out" in notes


def test_an_encoding_pass_follows(tmp_path: Path) -> None:
    source = save_llama(tmp_path / "llama", num_hidden_layers=4)
    encoding = {"pass": "round_to_nearest", "weights": {"bits": 8, "group": 32}, "activations": {"group": 32}}
    compress(source, {"passes": [NEURONS, HEADS, LAYERS, encoding], **SMALL}, out=tmp_path / "out")
    artifact = Artifact(tmp_path / "out")
    weight = artifact.weight("model.layers.2.mlp.down_proj.weight")
    assert (weight.kind, weight.shape) == ("int8", (64, 96))
    with honed.load(tmp_path / "out") as model:
        assert len(model.generate(TOKENS, max_tokens=4, temperature=0).tokens) <= 4


def test_the_same_recipe_gives_the_same_bytes_whatever_the_threads(tmp_path: Path) -> None:
    source = save_llama(tmp_path / "llama", num_hidden_layers=3)
    for threads in (1, 2):
        recipe = {"passes": [NEURONS, HEADS, LAYERS], **SMALL}
        compress(source, recipe, out=tmp_path / str(threads), threads=threads)
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in "12")
    assert first == second
