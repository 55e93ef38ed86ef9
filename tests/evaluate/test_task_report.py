from __future__ import annotations

import json
import random
from typing import Any

import pytest

from honed.evaluate.examples import make_example
from honed.evaluate.metrics.classification import Classified
from honed.evaluate.task_file import make_task
from honed.evaluate.task_report import WORST, task_report

CLASSES = make_task(
    {
        "version": 1,
        "task": "text-classification",
        "data": {"path": "x.jsonl"},
        "metrics": ["accuracy", "f1_macro", "roc_auc", "ece"],
    }
)


def classes(seed: int = 1, n: int = 40) -> tuple[list[Any], list[Classified], list[Classified]]:
    draw = random.Random(seed)
    examples = [
        make_example(CLASSES, i, {"text": f"text {i}", "label": draw.choice(["no", "yes"])}) for i in range(1, n + 1)
    ]

    def said() -> Classified:
        share = draw.random()
        return Classified(("yes" if share > 0.5 else "no",), {"yes": share, "no": 1 - share})

    return examples, [said() for _ in examples], [said() for _ in examples]


def test_classes_have_reports_curves_and_the_worst_examples() -> None:
    examples, ours, theirs = classes()
    report = task_report(CLASSES, examples, ours, theirs)
    json.dumps(report, allow_nan=False)
    assert list(report["metrics"]) == ["accuracy", "f1_macro", "roc_auc", "ece"]
    assert {"value", "reference", "gap", "p", "mcnemar"} == set(report["metrics"]["accuracy"])
    right = sum(found.labels == example.reference for found, example in zip(ours, examples, strict=True))
    matrix = report["confusion"]["model"]
    assert matrix[0][0] + matrix[1][1] == right
    assert report["confusion"]["labels"] == ["no", "yes"]
    assert report["roc"]["positive"] == "yes"
    assert report["roc"]["model"][0] == [0, 0] and report["roc"]["reference"][-1] == [1, 1]
    assert sum(share for _, _, share in report["calibration"]["model"]) == pytest.approx(1)
    worst = report["worst"]
    assert len(worst) == WORST
    assert [row["score"] for row in worst] == sorted(row["score"] for row in worst)
    example = examples[worst[0]["row"] - 1]
    assert worst[0]["shown"] == f"text {example.row}"
    assert worst[0]["score"] == ours[example.row - 1].scores[example.reference[0]]


def test_among_equally_bad_examples_those_that_the_reference_has_right_come_first() -> None:
    examples, _, _ = classes(n=3)
    wrong = [Classified(("other",), {}) for _ in examples]
    right = [wrong[0], Classified(examples[1].reference, {}), wrong[2]]
    task = CLASSES.model_copy(update={"metrics": ("accuracy",)})
    report = task_report(task, examples, wrong, right)
    assert [row["row"] for row in report["worst"]] == [2, 1, 3]
    assert report["confusion"]["labels"] == ["no", "other", "yes"] or "other" in report["confusion"]["labels"]
    assert "roc" not in report and "calibration" not in report


def test_tags_have_both_reports() -> None:
    task = make_task({"version": 1, "task": "token-classification", "data": {"path": "x.conll"}})
    example = make_example(task, 1, {"tokens": ["a", "b", "c"], "tags": ["B-X", "I-X", "O"]})
    report = task_report(task, [example], [["B-X", "O", "O"]], None)
    assert [row["label"] for row in report["labels"]["entity"]] == ["X", "micro avg", "macro avg", "weighted avg"]
    assert {"B-X", "I-X", "O"} < {row["label"] for row in report["labels"]["tag"]}
    assert report["worst"][0]["right"] == ["B-X", "I-X", "O"]
    assert "reference" not in report["worst"][0]
