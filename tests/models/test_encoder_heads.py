"""Heads of encoders: logits of the torch reference against transformers for every family, and what configs say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from encoder_reference import batch_of
from honed.backends.encoder import Output, TextBatch
from honed.backends.pytorch_encoder import PyTorchEncoder
from honed.checkpoints.open import open_checkpoint
from honed.errors import FormatError, HonedError, UnsupportedError
from honed.models.config import Fields
from honed.models.encoder_heads import RESULTS, HeadKind, class_with_head, head_kind, label_names, read_head
from tiny_encoders import HEADED, golden_encoder


def output_of(family: str) -> Output:
    return next(cast("Output", result) for kind, result in RESULTS.items() if f"_{kind}" in family)


@pytest.mark.parametrize("family", HEADED)
def test_logits_equal_transformers(family: str, recwarn: pytest.WarningsRecorder) -> None:
    made = golden_encoder(family)
    backend = PyTorchEncoder.load(open_checkpoint(str(made.directory)))
    assert made.head_agrees(backend.encode(batch_of(made), output_of(family)))
    assert made.agrees(backend.encode(batch_of(made), "hidden"))
    # A bias that is shared stands beside the one that is used where nothing is tied.
    unread = [warning for warning in recwarn if "no part of the model" in str(warning.message)]
    assert bool(unread) == ("untied" in family)


def test_a_vocabulary_is_given_for_the_rows_that_are_asked_for() -> None:
    made = golden_encoder("roberta_vocabulary")
    backend, batch = PyTorchEncoder.load(open_checkpoint(str(made.directory))), batch_of(made)
    rows = np.array([0, 8, 20, 52], np.int32)
    some = TextBatch(batch.tokens, batch.types, batch.lengths, rows)
    expected = backend.encode(batch, "vocabulary")[rows]
    np.testing.assert_allclose(backend.encode(some, "vocabulary"), expected, atol=1e-5)


def test_what_a_model_does_not_have_is_refused_with_what_it_has() -> None:
    made = golden_encoder("bert_tags")
    backend = PyTorchEncoder.load(open_checkpoint(str(made.directory)))
    with pytest.raises(UnsupportedError, match="have no classes; they give hidden, mean, first, last, tags"):
        backend.encode(batch_of(made), "classes")


@pytest.mark.parametrize(
    ("named", "kind"),
    [
        (["BertForTokenClassification"], "tags"),
        (["BertModel"], None),
        (["BertForNextSentencePrediction"], None),
        ([], None),
        (None, None),
        ("BertForMaskedLM", None),
        ([7], None),
    ],
)
def test_the_head_is_that_of_architectures(named: Any, kind: HeadKind | None) -> None:
    assert head_kind({"architectures": named}) == kind
    assert kind is None or class_with_head("BertModel", kind) == named[0]


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ({}, ("LABEL_0", "LABEL_1")),
        ({"num_labels": 3}, ("LABEL_0", "LABEL_1", "LABEL_2")),
        ({"num_labels": 3, "id2label": {"1": "b", "0": "a"}}, ("a", "b")),
        ({"id2label": {}}, ("LABEL_0", "LABEL_1")),
    ],
)
def test_names_of_labels(config: dict[str, Any], names: tuple[str, ...]) -> None:
    assert label_names(Fields(config, "config")) == names


@pytest.mark.parametrize(
    "config",
    [
        {"id2label": {"0": "a", "2": "c"}},
        {"id2label": {"0": "a", "1": 5}},
        {"id2label": {"x": "a"}},
        {"id2label": ["a", "b"]},
        {"num_labels": 0},
    ],
)
def test_labels_that_are_wrong(config: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match=r"id2label|num_labels"):
        read_head(Fields({**config, "architectures": ["BertForTokenClassification"]}, "config"), 10)


def test_an_answer_has_two_ends() -> None:
    config = {"architectures": ["BertForQuestionAnswering"], "num_labels": 3}
    with pytest.raises(UnsupportedError, match="id2label has 3 labels"):
        read_head(Fields(config, "config"), 10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"id2label": {"0": "a", "1": "b"}},
            r"classifier.weight: has shape \(4, 48\); config.json describes \(2, 48\)",
        ),
        ({"id2label": {"0": "a", "3": "b"}}, "id2label: .*has no 1"),
        ({"classifier_pooling": "max"}, "classifier_pooling 'max' is not supported"),
    ],
)
def test_configs_at_odds_with_the_weights(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    source = golden_encoder("modernbert_classes").directory
    shutil.copytree(source, tmp_path / "m")
    config = json.loads((source / "config.json").read_text()) | change
    (tmp_path / "m/config.json").write_text(json.dumps(config))
    with pytest.raises(HonedError, match=message):
        open_checkpoint(str(tmp_path / "m"))
