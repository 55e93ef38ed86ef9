"""What an encoder is made ready with: a config for its labels, weights of a head, rows of the engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from encoder_reference import batch_of
from honed.api.train_encoder import config_with_labels, engine_rows, prepare_labelled
from honed.api.train_options import TrainOptions
from honed.backends.encoder import Output
from honed.backends.open import open_encoder
from honed.backends.options import RunOptions
from honed.checkpoints.open import open_checkpoint
from honed.compress.training.examples import Example
from honed.errors import ParameterError
from honed.models.registry import read_encoder
from tiny_encoders import golden_encoder, with_tokenizer


def test_a_config_for_labels() -> None:
    config = dict(open_checkpoint(str(golden_encoder("bert_classes").directory)).config)
    found = config_with_labels({**config, "num_labels": 9}, "tags", ["O", "B-x"], several=False)
    assert found["architectures"] == ["BertForTokenClassification"]
    assert found["id2label"] == {"0": "O", "1": "B-x"}
    assert found["label2id"] == {"O": 0, "B-x": 1}
    assert not {"num_labels", "problem_type"} & found.keys()
    model = read_encoder(found)
    assert model.weights()["classifier.weight"].shape == (2, 48)
    assert "pooler.dense.weight" not in model.weights()  # which transformers has not there either


@pytest.mark.parametrize("output", ["hidden", "first", "mean"])
def test_rows_of_the_engine_are_in_the_order_of_the_examples(output: Output) -> None:
    made = golden_encoder("bert")
    backend = open_encoder(open_checkpoint(str(made.directory)), RunOptions(dtype="float32", threads=1))
    none = np.zeros(0, np.int32)
    examples = [Example(text.tokens, text.types, none, np.zeros(1, np.int64)) for text in made.texts]
    found = engine_rows(backend, output, examples)
    np.testing.assert_array_equal(np.concatenate(found), backend.encode(batch_of(made), output))


def test_one_label_is_too_few(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(with_tokenizer("bert", tmp_path / "m")))
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "the", "label": "x"}\n')
    with pytest.raises(ParameterError, match="has one label alone, 'x'"):
        prepare_labelled(checkpoint, "text-classification", (path, path), TrainOptions(), teacher=None, threads=1)
