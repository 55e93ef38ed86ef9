"""Artifacts with factors: written, read again and run, and refused by other tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import honed
from divisible_models import save_family, save_llama
from honed.api.compress import compress
from honed.backends.interpreter import InterpreterBackend, InterpreterConfig
from honed.backends.native import NativeBackend
from honed.backends.native_config import NativeConfig
from honed.checkpoints.artifact.checkpoint import Artifact
from honed.checkpoints.huggingface.checkpoint import HuggingFaceCheckpoint
from honed.checkpoints.huggingface.directory import Directory
from honed.errors import FormatError, ParameterError
from honed.models.factored import FACTORS_FIELD, factors_of
from honed.models.registry import read_any, read_model
from tiny_models import whole

SVD: dict[str, Any] = {"pass": "svd", "share": 0.3}
INT8: dict[str, Any] = {"pass": "round_to_nearest", "weights": {"bits": 8, "group": 32}, "activations": {"group": 32}}
INT4: dict[str, Any] = {"pass": "gptq", "weights": {"bits": 4, "group": 32}, "activations": {"group": 32}}
BATCH = whole(np.array([1, 5, 9, 3, 20, 14, 7, 30, 2, 11], np.int32))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("factored") / "llama", hidden_size=128, intermediate_size=256)


def made(source: Path, out: Path, *passes: dict[str, Any], **how: Any) -> tuple[honed.CompressReport, Artifact]:
    report = compress(source, {"passes": list(passes)}, out=out, threads=1, calibration="built-in", **how)
    return report, Artifact(out)


@pytest.mark.parametrize(
    "behind", [(), (INT8,), ({"pass": "smooth"}, INT8), (INT4,)], ids=["", "int8", "smooth", "int4"]
)
def test_what_is_written_is_read_and_runs_the_same_everywhere(
    llama: Path, tmp_path: Path, behind: tuple[dict[str, Any], ...]
) -> None:
    report, artifact = made(llama, tmp_path / "out", SVD, *behind)
    model = read_model(artifact.config)
    assert set(artifact.names) == set(model.weights())
    assert len(factors_of(model)) >= 2
    assert report.notes[0].startswith("svd: ")
    assert artifact.manifest["recipe"]["passes"][0]["share"] == 0.3
    native = NativeBackend.load(artifact, NativeConfig(kv_tokens=128, kv_dtype="float32"))
    interpreted = InterpreterBackend.load(artifact, InterpreterConfig(kv_tokens=128, kv_dtype="float32"))
    found, expected = native.forward(BATCH), interpreted.forward(BATCH)
    if behind:
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, atol=1e-4)
    with honed.load(tmp_path / "out") as loaded:
        assert loaded.generate([1, 5, 9], max_tokens=4, temperature=0).tokens


def test_the_same_recipe_gives_the_same_bytes(llama: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        made(llama, tmp_path / name, SVD, INT8)
    for file in ("model.safetensors", "config.json", "honed.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


@pytest.mark.parametrize("behind", [(), (INT8,)], ids=["dense", "int8"])
def test_other_tools_refuse_it_and_are_named_in_the_card(
    llama: Path, tmp_path: Path, behind: tuple[dict[str, Any], ...]
) -> None:
    from transformers import AutoModelForCausalLM

    made(llama, tmp_path / "out", SVD, *behind)
    # Without a declaration it would give its layers random weights, and warn.
    with pytest.raises(ValueError, match=r"(?s)honed alone"):
        AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    count = sum(len(group.weights) for group in factors_of(read_any(Artifact(tmp_path / "out").config)))
    assert f"- no other tool: {count} linear layers are products of two factors" in card
    with pytest.raises(ParameterError, match=r"portable = True: no other tool reads layers that are products of two"):
        made(llama, tmp_path / "again", SVD, *behind, portable=True)


@pytest.mark.parametrize("kind", ["gpt2", "phi3", "opt"])
def test_families_whose_files_hold_weights_otherwise(kind: str, tmp_path: Path) -> None:
    source = save_family(tmp_path / kind, kind)
    _, artifact = made(source, tmp_path / "out", {**SVD, "share": 0.05}, INT8)
    assert set(artifact.names) == set(read_model(artifact.config).weights())
    full = HuggingFaceCheckpoint(Directory(source))
    assert set(artifact.names) - set(full.names) == {
        name
        for group in factors_of(read_model(artifact.config))
        for name in (group.inner, *map(group.outer, group.weights))
    }
    with honed.load(tmp_path / "out") as loaded:
        assert loaded.generate([1, 5, 9], max_tokens=2, temperature=0).tokens


def test_a_directory_of_factors_without_a_manifest_is_read_too(llama: Path, tmp_path: Path) -> None:
    _, artifact = made(llama, tmp_path / "out", SVD)
    (tmp_path / "out" / "honed.json").unlink()
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    del config["quantization_config"]
    (tmp_path / "out" / "config.json").write_text(json.dumps(config))
    opened = HuggingFaceCheckpoint(Directory(tmp_path / "out"))
    assert factors_of(read_any(opened.config)) == factors_of(read_any(artifact.config))
    with honed.load(tmp_path / "out") as loaded:
        assert loaded.generate([1, 5, 9], max_tokens=2, temperature=0).tokens
    config[FACTORS_FIELD][0]["rank"] += 32
    (tmp_path / "out" / "config.json").write_text(json.dumps(config))
    with pytest.raises(FormatError, match=r"factor_in.weight: has shape .*; config.json describes"):
        HuggingFaceCheckpoint(Directory(tmp_path / "out"))
    config[FACTORS_FIELD][0]["rank"] = 0
    (tmp_path / "out" / "config.json").write_text(json.dumps(config))
    with pytest.raises(FormatError, match=r"honed_factors\[0\].rank: is 0, but must be an integer from 1"):
        HuggingFaceCheckpoint(Directory(tmp_path / "out"))
