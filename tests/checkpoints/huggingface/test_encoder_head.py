"""Heads that configs name, by the weights beside them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from honed.checkpoints.huggingface.checkpoint import HuggingFaceCheckpoint
from honed.checkpoints.huggingface.directory import SINGLE, Directory
from honed.checkpoints.huggingface.encoder_head import with_head_that_is_there
from honed.errors import FormatError
from honed.notes import HonedWarning
from safetensors_builder import write_arrays
from tiny_encoders import golden_encoder

DECODER = "cls.predictions.decoder.weight"


def opened(family: str, folder: Path, extra: dict[str, NDArray[Any]], without: tuple[str, ...] = ()) -> Any:
    shutil.copytree(golden_encoder(family).directory, folder)
    whole = Directory(folder)
    kept = {name: np.array(whole.tensor(name)) for name in whole.names if name not in without}
    write_arrays(folder / SINGLE, kept | extra)
    return HuggingFaceCheckpoint(Directory(folder))


def table(family: str) -> NDArray[np.float32]:
    return np.array(Directory(golden_encoder(family).directory).tensor("embeddings.word_embeddings.weight"))


def test_a_copy_of_the_table_is_not_spoken_of(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    extra = {DECODER: table("bert_vocabulary"), "cls.predictions.decoder.bias": np.ones(97, np.float32)}
    assert opened("bert_vocabulary", tmp_path / "m", extra).config["tie_word_embeddings"] is True
    assert not recwarn.list


def test_a_layer_that_was_trained_apart_is_used(tmp_path: Path) -> None:
    extra = {DECODER: table("bert_vocabulary") + 1, "cls.predictions.decoder.bias": np.ones(97, np.float32)}
    with pytest.warns(HonedWarning) as told:
        checkpoint = opened("bert_vocabulary", tmp_path / "m", extra)
    assert "the weights hold an cls.predictions.decoder.weight that differs" in str(told[0].message)
    assert checkpoint.config["tie_word_embeddings"] is False
    np.testing.assert_array_equal(checkpoint.weight(DECODER).decode(), extra[DECODER])


def test_half_a_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"classifier\.bias: is missing"):
        opened("bert_classes", tmp_path / "m", {}, without=("classifier.bias",))
    with pytest.raises(FormatError, match=r"pooler\.dense\.weight: is missing"):
        opened("bert_classes", tmp_path / "p", {}, without=("pooler.dense.weight", "pooler.dense.bias"))


def test_no_head_at_all_is_an_encoder(tmp_path: Path) -> None:
    checkpoint = opened("distilbert_tags", tmp_path / "m", {}, without=("classifier.weight", "classifier.bias"))
    assert checkpoint.config["architectures"] == ["DistilBertModel"]
    config = json.loads((tmp_path / "m/config.json").read_text())
    assert with_head_that_is_there(config, "tags", {"classifier.weight"}) == config
