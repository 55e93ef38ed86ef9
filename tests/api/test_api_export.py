"""`honed.export`: what is told of a file, and what is refused before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import honed
from exportable_models import sample
from honed.api.compress import compress
from honed.checkpoints.open import open_checkpoint
from honed.errors import ArtifactError, ParameterError


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tied, with biases and stretched rotation."""
    return sample(tmp_path_factory.mktemp("export") / "m", "llama", 1)


def test_a_model_becomes_a_file_that_generates_the_same(model: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    report = honed.export(model, out=tmp_path / "m.gguf", progress=lambda *state: told.append(state))
    assert report.path.stat().st_size == report.bytes
    assert sum(report.types.values()) < report.bytes
    assert told[-1][0] == told[-1][1] == len(told)
    with honed.load(model) as source, honed.load(tmp_path / "m.gguf") as file:
        expected = source.generate([1, 2, 3], max_tokens=8, temperature=0).tokens
        assert file.generate([1, 2, 3], max_tokens=8, temperature=0).tokens == expected


def test_an_artifact_with_a_head_smoothed_apart_is_the_same_model(model: Path, tmp_path: Path) -> None:
    compress(model, "int8", out=tmp_path / "a", threads=1)
    report = honed.export(tmp_path / "a", out=tmp_path / "m.gguf")
    file, artifact = open_checkpoint(str(tmp_path / "m.gguf")), open_checkpoint(str(tmp_path / "a"))
    table = artifact.weight("model.embed_tokens.weight").decode()
    difference = abs(file.weight("model.embed_tokens.weight").decode() - table).max()
    assert difference <= 2**-11 * abs(table).max()
    assert any("embed_tokens.weight was written decoded" in note for note in report.notes)
    assert {"Q8_0", "F16"} <= report.types.keys()
    with honed.load(tmp_path / "a") as ours, honed.load(tmp_path / "m.gguf") as theirs:
        expected = ours.generate([1, 2, 3], max_tokens=6, temperature=0).tokens
        assert theirs.generate([1, 2, 3], max_tokens=6, temperature=0).tokens == expected


@pytest.mark.parametrize(
    ("out", "fields", "named"),
    [
        ("m.bin", {}, "must end in .gguf"),
        ("m.gguf", {"tensor_type": "Q5_K"}, "tensor_type"),
        ("m.gguf", {"overwrite": 1}, "overwrite"),
        ("none/m.gguf", {}, "make it first"),
    ],
)
def test_what_is_refused(out: str, fields: dict[str, Any], named: str, model: Path, tmp_path: Path) -> None:
    with pytest.raises((ParameterError, ArtifactError), match=named):
        honed.export(model, out=tmp_path / out, **fields)
    assert not list(tmp_path.iterdir())


def test_a_model_is_not_written_over_itself(model: Path, tmp_path: Path) -> None:
    honed.export(model, out=tmp_path / "m.gguf")
    before = (tmp_path / "m.gguf").read_bytes()
    with pytest.raises(ArtifactError, match="choose another output"):
        honed.export(tmp_path / "m.gguf", out=tmp_path / "m.gguf", tensor_type="Q8_0", overwrite=True)
    with pytest.raises(ArtifactError, match="choose an output outside"):
        honed.export(model, out=model / "m.gguf")
    assert (tmp_path / "m.gguf").read_bytes() == before


def test_of_an_artifact_that_was_changed_no_file_is_left(model: Path, tmp_path: Path) -> None:
    compress(model, "int8", out=tmp_path / "a", threads=1)
    weights = tmp_path / "a" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ArtifactError, match=r"model\.safetensors"):
        honed.export(tmp_path / "a", out=tmp_path / "m.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
