"""honed's side of a measurement of encoders: the vectors of `embed`, and what it says of its weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import honed
from honed.api.encode_runner import open_runner
from honed.errors import UnsupportedError
from tiny_encoders import golden_encoder, with_tokenizer

TEXTS = ["the query", "it was on the one"]


def options(**given: object) -> dict[str, object]:
    return honed.RunOptions(threads=1, **given).to_json()  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_tokenizer("minilm", tmp_path_factory.mktemp("encoder") / "source")


def test_vectors_are_those_of_embed(source: Path) -> None:
    runner = open_runner({"model": str(source), "asked": "vectors", "options": options()})
    with honed.load(source) as model:
        tokens = [model.tokenizer.fast.encode(text).ids for text in TEXTS]
        expected = model.embed(TEXTS)
    np.testing.assert_array_equal(np.array(runner.numbers(runner.encode(tokens)), np.float32), expected)
    assert runner.isa is not None


@pytest.mark.parametrize("asked", ["classes", "tags"])
def test_logits_of_a_head_are_those_of_transformers(asked: str, tmp_path: Path) -> None:
    directory = with_tokenizer(f"distilbert_{asked}", tmp_path / "model", sentences=False)
    texts = golden_encoder(f"distilbert_{asked}").texts
    runner = open_runner({"model": str(directory), "asked": asked, "options": options()})
    found = runner.numbers(runner.encode([text.tokens.tolist() for text in texts]))
    for own, text in zip(found, texts, strict=True):
        assert text.logits is not None
        np.testing.assert_allclose(own, text.logits.reshape(-1), atol=2e-4)


def test_weights_are_named_as_they_are_held(source: Path, tmp_path: Path) -> None:
    honed.compress(source, "int8", out=tmp_path / "int8")
    assert (
        open_runner({"model": str(tmp_path / "int8"), "asked": "vectors", "options": options()}).dtype
        == "int8 group 32"
    )
    assert open_runner({"model": str(source), "asked": "vectors", "options": options()}).dtype == "float32"
    assert (
        open_runner({"model": str(source), "asked": "vectors", "options": options(dtype="bfloat16")}).dtype
        == "bfloat16"
    )


def test_a_model_that_generates_is_none(tiny_llama: Path) -> None:
    with pytest.raises(UnsupportedError, match="load an encoder"):
        open_runner({"model": str(tiny_llama), "asked": "vectors", "options": options()})
