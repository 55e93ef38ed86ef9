"""What labels of a checkpoint are called, and how a text has them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from honed.checkpoints.huggingface.labels import Labels, read_labels
from honed.checkpoints.open import open_checkpoint
from honed.errors import UnsupportedError
from tiny_encoders import golden_encoder


def labels(family: str, folder: Path, **change: Any) -> Labels | None:
    source = golden_encoder(family).directory
    shutil.copytree(source, folder / "m")
    config = json.loads((source / "config.json").read_text()) | change
    (folder / "m/config.json").write_text(json.dumps(config))
    return read_labels(open_checkpoint(str(folder / "m")))


def test_an_encoder_without_a_head_has_none(tmp_path: Path) -> None:
    assert labels("bert", tmp_path) is None


def test_a_config_that_names_a_head_without_its_weights_has_none(tmp_path: Path) -> None:
    assert labels("bert", tmp_path, architectures=["BertForSequenceClassification"]) is None


@pytest.mark.parametrize(
    ("family", "change", "expected"),
    [
        (
            "bert_classes",
            {"id2label": {"0": "no", "1": "yes", "2": "?"}},
            Labels("classes", ("no", "yes", "?"), "single_label_classification"),
        ),
        (
            "distilbert_classes",
            {"problem_type": "multi_label_classification"},
            Labels("classes", ("LABEL_0", "LABEL_1"), "multi_label_classification"),
        ),
        ("roberta_classes", {}, Labels("classes", ("LABEL_0",), "regression")),
        ("bert_spans", {}, Labels("spans", ("LABEL_0", "LABEL_1"), "single_label_classification")),
        ("bert_vocabulary", {}, Labels("vocabulary", (), "single_label_classification")),
        (
            "distilbert_tags",
            {"problem_type": "multi_label_classification"},
            Labels("tags", tuple(f"LABEL_{number}" for number in range(5)), "single_label_classification"),
        ),
    ],
)
def test_labels_are_those_of_the_config(family: str, change: dict[str, Any], expected: Labels, tmp_path: Path) -> None:
    assert labels(family, tmp_path, **change) == expected


def test_another_problem_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="problem_type 'ranking' is not supported"):
        labels("bert_classes", tmp_path, problem_type="ranking")
