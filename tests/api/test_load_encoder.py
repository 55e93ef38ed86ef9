"""`honed.load` of an encoder: what it gives, what it says, and which options it takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import honed
from honed.errors import FormatError, ParameterError, UnsupportedError
from honed.notes import HonedWarning
from tiny_encoders import with_tokenizer


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_tokenizer("bert", tmp_path_factory.mktemp("encoder") / "tiny")


def test_an_encoder_with_what_its_checkpoint_says(encoder: Path) -> None:
    with honed.load(encoder) as model:
        assert isinstance(model, honed.TextEncoder)
        assert (model.context, model.width, model.pooling, model.prompts) == (24, 48, "mean", ("query",))
        rows = model.embed(["the query", "it was"])
        assert rows.shape == (2, 48)
        assert np.allclose(np.linalg.norm(rows, axis=1), 1)
        assert model.load_seconds > 0
        with pytest.raises(UnsupportedError, match="is an encoder, which gives texts vectors and generates nothing"):
            model.generate("a")


def test_a_checkpoint_that_says_nothing_of_pooling(tmp_path: Path) -> None:
    plain = with_tokenizer("distilbert", tmp_path / "plain", sentences=False)
    with (
        pytest.warns(HonedWarning, match="does not say how rows are pooled; the mean of all is taken"),
        honed.load(plain) as model,
    ):
        assert isinstance(model, honed.TextEncoder)
        assert (model.pooling, model.context) == ("mean", 40)
        assert not np.allclose(np.linalg.norm(model.embed(["the query"]), axis=1), 1)


@pytest.mark.parametrize("option", [{"kv": "int8"}, {"context": 32}, {"context": 32, "sequences": 2}])
def test_options_of_models_that_generate(encoder: Path, option: dict[str, int]) -> None:
    with pytest.raises(ParameterError, match="is for models that generate, and this one is an encoder; leave it out"):
        honed.load(encoder, **option)  # type: ignore[arg-type]


def test_a_decoder_gives_no_vectors_yet(tiny_llama: Path) -> None:
    with (
        honed.load(tiny_llama) as model,
        pytest.raises(UnsupportedError, match="generates text, and vectors of texts are not had from it yet"),
    ):
        model.embed(["a text"])


def test_without_a_tokenizer(encoder: Path, tmp_path: Path) -> None:
    bare = with_tokenizer("bert", tmp_path / "bare")
    (bare / "tokenizer.json").unlink()
    with pytest.raises(UnsupportedError, match=r"has no tokenizer.json; write one with transformers"):
        honed.load(bare)


def test_sentence_files_that_are_malformed(tmp_path: Path) -> None:
    broken = with_tokenizer("bert", tmp_path / "broken")
    (broken / "modules.json").write_text("{}")
    with pytest.raises(FormatError, match=r"modules.json: JSON: must be a list, not dict"):
        honed.load(broken)
