"""The verb from two encoders to a certificate, on tiny ones."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

import honed
from honed.errors import ArtifactError, ParameterError, UnsupportedError
from tiny_encoders import WORDS, with_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoders")
    with_tokenizer("minilm", folder / "source")
    honed.compress(folder / "source", "int8", out=folder / "int8")
    (folder / "text.txt").write_text(" ".join(random.Random(0).choices(WORDS.split(), k=400)))
    return folder


def test_an_artifact_against_its_source(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    found = honed.evaluate_encoder("int8", text="text.txt", record=True)
    assert 0.999 < found.cosine_p05.value <= found.cosine_mean.value < 1
    assert found.nearest_agreement.value > 0.5
    assert (found.settings.windows, found.settings.window_tokens, found.pooling) == (10, 40, "mean")
    assert found.reference.name == "source"
    assert json.loads((folder / "int8/certificate.json").read_text()) == found.to_json()


def test_a_model_against_itself(folder: Path) -> None:
    found = honed.evaluate_encoder(folder / "source", text=folder / "text.txt", windows=4, window_tokens=9)
    assert found.cosine_mean.value == pytest.approx(1)
    assert (found.settings.windows, found.settings.window_tokens) == (4, 11)
    assert found.nearest_agreement.value == 1


def test_a_source_that_has_changed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_tokenizer("bert", tmp_path / "source")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtifactError, match="has changed since"):
        honed.evaluate_encoder(folder / "int8")


def test_what_cannot_be_compared(folder: Path, tiny_llama: Path, tmp_path: Path) -> None:
    source, text = folder / "source", folder / "text.txt"
    other = with_tokenizer("bert", tmp_path / "other")
    with pytest.raises(UnsupportedError, match=r"vectors of 96 numbers and .* of 48"):
        honed.evaluate_encoder(source, other, text=text)
    with pytest.raises(UnsupportedError, match="is quantized and cannot run in float32"):
        honed.evaluate_encoder(source, folder / "int8", text=text)
    with pytest.raises(UnsupportedError, match="generates text"):
        honed.evaluate_encoder(tiny_llama, text=text)
    with pytest.raises(ParameterError, match="window_tokens = 39: must be from 2 to 38"):
        honed.evaluate_encoder(source, text=text, window_tokens=39)
    with pytest.raises(ParameterError, match="windows = 1"):
        honed.evaluate_encoder(source, text=text, windows=1)
