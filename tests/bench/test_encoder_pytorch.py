"""The adapter of PyTorch for encoders against transformers itself, each text alone."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from honed.bench.encoders.contender import EncodePlan
from honed.bench.encoders.workload import EncodeWorkload
from honed.bench.peers.base import PeerError
from honed.bench.peers.encoder_pytorch import PytorchEncoderPeer, open_runner
from honed.bench.peers.encoder_rectangle import rectangle
from tiny_encoders import LENGTHS, golden_encoder

TEXTS = ((1, 2, 3), (4,))


def plan() -> EncodePlan:
    return EncodePlan(
        EncodeWorkload(texts=2, tokens=3), TEXTS, pooling="mean", normalize=True, types=True, heads=4, width=48
    )


def test_what_is_planned() -> None:
    made = golden_encoder("bert")
    checkpoint = SimpleNamespace(kind="huggingface", path=made.directory, files=[made.directory / "model.safetensors"])
    (found,) = PytorchEncoderPeer("pytorch-float32", "float32").contenders(
        "tiny",
        checkpoint,
        plan(),
        lambda what: None,
    )
    assert found.interpreter is None
    assert found.texts == TEXTS
    assert found.arguments["pooling"] == "mean"
    with pytest.raises(PeerError, match="from Hugging Face directories only"):
        PytorchEncoderPeer("pytorch-float32", "float32").contenders(
            "tiny",
            SimpleNamespace(kind="gguf", path=made.directory),
            plan(),
            lambda what: None,
        )


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
@pytest.mark.parametrize("normalize", [False, True])
def test_vectors_are_those_of_each_text_alone(pooling: str, normalize: bool) -> None:
    made = golden_encoder("roberta")
    arguments = {
        "directory": str(made.directory),
        "threads": 1,
        "dtype": "float32",
        "asked": "vectors",
        "pooling": pooling,
        "normalize": normalize,
    }
    runner = open_runner(arguments)
    texts = [text.tokens.tolist() for text in made.texts]
    rows = np.array(runner.numbers(runner.encode(texts)))
    pools = {"mean": lambda x: x.mean(axis=0), "cls": lambda x: x[0], "last": lambda x: x[-1]}
    expected = np.stack([pools[pooling](text.hidden) for text in made.texts])
    if normalize:
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert rows.shape == (len(LENGTHS), 48)
    # The types are those of a single text, which is all that this one has.
    assert np.abs(rows - expected).max() < 1e-4
    assert runner.dtype == "float32"


@pytest.mark.parametrize("asked", ["classes", "tags"])
def test_logits_are_those_of_each_text_alone(asked: str) -> None:
    made = golden_encoder(f"distilbert_{asked}")
    arguments = {"directory": str(made.directory), "threads": 1, "dtype": "float32", "asked": asked}
    runner = open_runner(arguments)
    found = runner.numbers(runner.encode([text.tokens.tolist() for text in made.texts]))
    for own, text in zip(found, made.texts, strict=True):
        assert text.logits is not None
        np.testing.assert_allclose(own, text.logits.reshape(-1), atol=1e-4)


def test_a_rectangle_is_filled_up() -> None:
    assert rectangle([[5, 6, 7], [8]]) == ([[5, 6, 7], [8, 0, 0]], [[1, 1, 1], [1, 0, 0]])
