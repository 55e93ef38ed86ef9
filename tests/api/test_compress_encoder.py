"""Compressing encoders: what is stored, that it gives nearly the same vectors, and who else reads it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModel

import honed
from honed.checkpoints.open import open_checkpoint
from honed.encodings.dense import Dense
from honed.notes import HonedWarning
from tiny_encoders import with_tokenizer

TEXTS = ["the query", "it was on the one that he had", "you are"]
SENTENCE_FILES = (
    "modules.json",
    "1_Pooling/config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
)


def _compressed(family: str, folder: Path, recipe: str = "int8") -> tuple[Path, Path]:
    source = with_tokenizer(family, folder / "source")
    honed.compress(source, recipe, out=folder / "out")
    return source, folder / "out"


def _vectors(directory: Path) -> NDArray[np.float32]:
    with honed.load(directory) as model:
        return model.embed(TEXTS, prompt="query")


@pytest.mark.parametrize(
    ("family", "recipe", "least"),
    [("minilm", "int8", 0.999), ("roberta", "int8", 0.999), ("distilbert", "int8", 0.999), ("minilm", "nf4", 0.9)],
)
def test_vectors_stay_close(family: str, recipe: str, least: float, tmp_path: Path) -> None:
    source, artifact = _compressed(family, tmp_path, recipe)
    before, after = _vectors(source), _vectors(artifact)
    assert (before * after).sum(axis=1).min() > least
    assert not np.array_equal(before, after)


def test_what_says_how_rows_are_pooled_goes_along(tmp_path: Path) -> None:
    source, artifact = _compressed("bert", tmp_path)
    listed = json.loads((artifact / "honed.json").read_text())["files"]
    for name in SENTENCE_FILES:
        assert (artifact / name).read_bytes() == (source / name).read_bytes()
        assert name in listed
    honed.compress(source, "int8", out=artifact, overwrite=True)  # its folders are known to be honed's own
    assert (artifact / "1_Pooling/config.json").exists()


def test_heads_are_gone_and_the_pooler_stays_as_it_is(tmp_path: Path) -> None:
    _, artifact = _compressed("bert", tmp_path)
    opened = open_checkpoint(str(artifact))
    assert isinstance(opened.weight("pooler.dense.weight"), Dense)
    assert not isinstance(opened.weight("encoder.layer.0.output.dense.weight"), Dense)
    config = json.loads((artifact / "config.json").read_text())
    assert config["architectures"] == ["BertModel"]
    assert "pooler.dense" in config["quantization_config"]["ignore"]


def test_a_classifier_becomes_the_encoder_that_it_holds(tmp_path: Path) -> None:
    with pytest.warns(HonedWarning):
        _, artifact = _compressed("bert_classifier", tmp_path)
    assert json.loads((artifact / "config.json").read_text())["architectures"] == ["BertModel"]
    assert not [name for name in open_checkpoint(str(artifact)).names if "classifier" in name]


def test_transformers_reads_the_same_weights(tmp_path: Path) -> None:
    _, artifact = _compressed("minilm", tmp_path)
    model = AutoModel.from_pretrained(artifact, dtype=torch.float32).eval()
    ids = open_checkpoint(str(artifact)).tokenizer().fast.encode(TEXTS[1]).ids
    with torch.inference_mode():
        row = model(torch.tensor([ids])).last_hidden_state[0].mean(0).numpy()
    with honed.load(artifact, backend="pytorch") as ours:
        found = ours.embed(TEXTS[1:2], normalize=False)[0]
    np.testing.assert_allclose(found, row, atol=2e-5)
