"""Compressing encoders: what is stored, that it gives nearly the same vectors, and who else reads it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from transformers import AutoModel

import honed
from encoder_reference import batch_of
from honed.backends.encoder import Output, TextBatch
from honed.backends.interpreter_encoder import InterpreterEncoder
from honed.backends.native_config import NativeConfig
from honed.backends.native_encoder import NativeEncoder
from honed.checkpoints.huggingface.labels import read_labels
from honed.checkpoints.open import open_checkpoint
from honed.encodings.dense import Dense
from honed.encodings.tied_table import TiedTable
from honed.models.registry import read_encoder
from tiny_encoders import golden_encoder, with_tokenizer

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


def test_the_pooler_stays_as_it_is(tmp_path: Path) -> None:
    _, artifact = _compressed("bert", tmp_path)
    opened = open_checkpoint(str(artifact))
    assert isinstance(opened.weight("pooler.dense.weight"), Dense)
    assert not isinstance(opened.weight("encoder.layer.0.output.dense.weight"), Dense)
    config = json.loads((artifact / "config.json").read_text())
    assert config["architectures"] == ["BertModel"]
    assert "pooler.dense" in config["quantization_config"]["ignore"]


HEADS: dict[str, Output] = {
    "bert_classes": "classes",
    "roberta_classes": "classes",
    "distilbert_classes": "classes",
    "modernbert_tags": "tags",
    "bert_spans": "tags",
    "bert_vocabulary": "vocabulary",
    "roberta_vocabulary": "vocabulary",
}


def _logits(directory: Path, family: str) -> NDArray[np.float32]:
    checkpoint = open_checkpoint(str(directory))
    native = NativeEncoder.load(checkpoint, NativeConfig(threads=1, keep_packed=False))
    oracle = InterpreterEncoder(read_encoder(checkpoint.config, checkpoint.path), checkpoint)
    batch = batch_of(golden_encoder(family))
    found = native.encode(batch, HEADS[family])
    np.testing.assert_array_equal(found, oracle.encode(batch, HEADS[family]))
    return found


@pytest.mark.parametrize("recipe", ["int8", "int4-gptq"])
@pytest.mark.parametrize("family", HEADS)
def test_a_head_stays(family: str, recipe: str, tmp_path: Path) -> None:
    source, artifact = _compressed(family, tmp_path, recipe)
    opened = open_checkpoint(str(artifact))
    config, before = (json.loads((folder / "config.json").read_text()) for folder in (artifact, source))
    assert config["architectures"] == before["architectures"]
    assert read_labels(opened) == read_labels(open_checkpoint(str(source)))
    expected, found = _logits(source, family), _logits(artifact, family)
    off = float(np.sqrt(np.square(found - expected).mean()) / expected.std())
    assert 0 < off < (0.1 if recipe == "int8" else 0.5)
    dense = [name for name in opened.names if isinstance(opened.weight(name), Dense)]
    assert all(name in dense for name in opened.names if "classifier" in name or "qa_outputs" in name)
    if HEADS[family] == "vocabulary":  # the table is the last layer, and stored once, as that
        assert isinstance(opened.weight("embeddings.word_embeddings.weight"), TiedTable)


@pytest.mark.parametrize(
    ("passes", "removed"),
    [
        ([{"pass": "prune_neurons", "share": 0.25}], "intermediate"),
        ([{"pass": "prune_layers", "layers": [1]}], "layer.1."),
        ([{"pass": "svd", "share": 0.3}], None),
    ],
)
@pytest.mark.parametrize("family", ["bert_classes", "bert_tags", "bert_vocabulary"])
def test_a_head_passes_through_what_makes_models_smaller(
    family: str, passes: list[dict[str, object]], removed: str | None, tmp_path: Path
) -> None:
    source = with_tokenizer(family, tmp_path / "source")
    honed.compress(source, {"passes": passes}, out=tmp_path / "out")
    before, after = open_checkpoint(str(source)), open_checkpoint(str(tmp_path / "out"))
    assert read_labels(after) == read_labels(before)
    heads = [name for name in before.names if "classifier" in name or name.startswith("cls.")]
    assert heads
    for name in heads:
        np.testing.assert_array_equal(after.weight(name).decode(), before.weight(name).decode())
    model = read_encoder(after.config, after.path)
    logits = InterpreterEncoder(model, after).encode(batch_of(golden_encoder(family)), HEADS.get(family, "tags"))
    assert np.isfinite(logits).all()
    assert removed is None or sum(after.weight(name).nbytes for name in after.names if removed in name) < sum(
        before.weight(name).nbytes for name in before.names if removed in name
    )


LOADED: dict[str, Output] = {
    "bert_classes": "classes",
    "distilbert_tags": "tags",
    "roberta_classes": "classes",
    "bert_vocabulary": "vocabulary",
    "roberta_vocabulary": "vocabulary",
    "distilbert_vocabulary": "vocabulary",
}


@pytest.mark.parametrize("family", LOADED)
def test_transformers_loads_an_artifact_with_its_head(family: str, tmp_path: Path) -> None:
    source = with_tokenizer(family, tmp_path / "source")
    honed.compress(source, "int8", out=tmp_path / "out", portable=True)
    text = golden_encoder(family).texts[0]
    config = json.loads((tmp_path / "out/config.json").read_text())
    model, said = getattr(transformers, config["architectures"][0]).from_pretrained(
        tmp_path / "out", dtype=torch.float32, output_loading_info=True
    )
    assert not said["missing_keys"]
    given = {} if "distil" in family else {"token_type_ids": torch.from_numpy(text.types).long()[None]}
    with torch.inference_mode():
        found = model.eval()(torch.from_numpy(text.tokens).long()[None], **given).logits[0].numpy()
    batch = TextBatch(text.tokens, text.types, np.array([len(text.tokens)], np.int32))
    checkpoint = open_checkpoint(str(tmp_path / "out"))
    backend = NativeEncoder.load(checkpoint, NativeConfig(threads=1, keep_packed=False))
    expected = backend.encode(batch, LOADED[family])
    # Both round what enters the layers, and honed what enters a vocabulary too.
    np.testing.assert_allclose(np.atleast_2d(found), expected, atol=0.1 if LOADED[family] == "vocabulary" else 0.02)


def test_transformers_reads_the_same_weights(tmp_path: Path) -> None:
    _, artifact = _compressed("minilm", tmp_path)
    model = AutoModel.from_pretrained(artifact, dtype=torch.float32).eval()
    ids = open_checkpoint(str(artifact)).tokenizer().fast.encode(TEXTS[1]).ids
    with torch.inference_mode():
        row = model(torch.tensor([ids])).last_hidden_state[0].mean(0).numpy()
    with honed.load(artifact, backend="pytorch") as ours:
        found = ours.embed(TEXTS[1:2], normalize=False)[0]
    np.testing.assert_allclose(found, row, atol=2e-5)
