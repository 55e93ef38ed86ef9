"""Recipes on families whose files hold weights otherwise, and on those of the same kind that do not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import honed
from divisible_models import save_family
from honed.api.compress import compress
from honed.checkpoints.artifact.checkpoint import Artifact
from honed.checkpoints.huggingface.checkpoint import HuggingFaceCheckpoint
from honed.checkpoints.huggingface.directory import Directory
from honed.compress.linears import find_linears
from honed.errors import ParameterError
from honed.models.registry import read_model

KINDS = {"gpt2": True, "gpt_neox": True, "phi3": True, "opt": False, "starcoder2": False}
"""By model_type, whether transformers holds their weights in other tensors."""
BOUNDS = {"int8": 0.01, "int4": 0.15}
TOKENS = [1, 5, 9, 3, 20, 14, 7, 30, 2, 11]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("families")
    return {kind: save_family(folder / kind, kind) for kind in KINDS}


@pytest.mark.parametrize("recipe", BOUNDS)
@pytest.mark.parametrize("kind", KINDS)
def test_recipes_apply(kind: str, recipe: str, saved: dict[str, Path], tmp_path: Path) -> None:
    report = compress(saved[kind], recipe, out=tmp_path / "out")
    source, artifact = HuggingFaceCheckpoint(Directory(saved[kind])), Artifact(tmp_path / "out")
    assert set(artifact.names) == set(source.names)
    layers = find_linears(read_model(source.config)).layers
    assert {weight.name for weight in layers} <= {tensor.name for tensor in report.tensors}
    for weight in layers:
        encoded = artifact.weight(weight.name)
        assert encoded.kind in ("int8", "int4")
        assert encoded.shape == weight.shape
    assert all(tensor.relative_error < BOUNDS[recipe] for tensor in report.tensors)
    with honed.load(tmp_path / "out") as model, honed.load(saved[kind]) as full:
        found = model.generate(TOKENS, max_tokens=4, temperature=0)
        assert len(found.tokens) == len(full.generate(TOKENS, max_tokens=4, temperature=0).tokens)


@pytest.mark.parametrize("kind", KINDS)
def test_others_are_told_what_they_do_not_find(kind: str, saved: dict[str, Path], tmp_path: Path) -> None:
    recipe = {"passes": [{"pass": "round_to_nearest", "weights": {"bits": 8, "group": None}}]}
    compress(saved[kind], recipe, out=tmp_path / "out")
    declared = json.loads((tmp_path / "out" / "config.json").read_text())["quantization_config"]["config_groups"]
    alone = {group["weights"]["type"].startswith("honed alone") for group in declared.values()}
    assert (alone == {True}) is KINDS[kind]
    assert ("- no other tool: others hold several" in (tmp_path / "out" / "README.md").read_text()) is KINDS[kind]
    if KINDS[kind]:
        with pytest.raises(ParameterError, match=r"portable = True: other tools hold the weights of this family"):
            compress(saved[kind], recipe, out=tmp_path / "again", portable=True)


def test_a_norm_is_kept_as_it_is_multiplied(saved: dict[str, Path], tmp_path: Path) -> None:
    compress(saved["gpt2"], "int4", out=tmp_path / "out")
    source, artifact = HuggingFaceCheckpoint(Directory(saved["gpt2"])), Artifact(tmp_path / "out")
    for name in ("transformer.h.1.ln_2.weight", "transformer.h.1.attn.k_proj.bias", "transformer.wpe.weight"):
        close = np.allclose(artifact.weight(name).decode(), source.weight(name).decode(), atol=1e-2)
        assert close, name
