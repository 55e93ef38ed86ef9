"""What encoders with heads answer, against transformers on tiny random models."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from honed.api.evaluation.predictors import ask
from honed.backends.options import RunOptions
from honed.errors import UnsupportedError
from honed.evaluate.examples import make_example
from honed.evaluate.task_file import make_task
from tiny_encoders import with_tokenizer

FLOAT32 = RunOptions(dtype="float32")


def asked(model: Path, kind: str, rows: list[dict[str, Any]]) -> list[Any]:
    task = make_task({"version": 1, "task": kind, "data": {"path": "x.jsonl"}})
    with closing(ask(task, model, FLOAT32)) as found:
        return found.predict([make_example(task, i, row) for i, row in enumerate(rows, 1)], lambda done, of: None)


def scores(model: Path, *texts: str) -> Any:
    import torch
    from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

    names = ["input_ids", "token_type_ids", "attention_mask"]
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(model / "tokenizer.json"), model_input_names=names)
    network = AutoModelForSequenceClassification.from_pretrained(model, dtype=torch.float32).eval()
    with torch.no_grad():
        return network(**tokenizer(*texts, return_tensors="pt")).logits[0]


def changed(directory: Path, **more: Any) -> Path:
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | more))
    return directory


def test_classes_of_texts_and_pairs(tmp_path: Path) -> None:
    model = with_tokenizer("bert_classifier", tmp_path / "model", sentences=False)
    rows = [{"text": "the hot a", "label": "x"}, {"text": "of the", "text_pair": "was hot", "label": "x"}]
    for texts, found in zip(
        (("the hot a",), ("of the", "was hot")), asked(model, "text-classification", rows), strict=True
    ):
        expected = scores(model, *texts).softmax(-1)
        assert [found.scores[f"LABEL_{i}"] for i in range(3)] == pytest.approx(expected.tolist(), abs=1e-5)
        assert found.labels == (f"LABEL_{int(expected.argmax())}",)


def test_several_labels_are_those_over_a_half(tmp_path: Path) -> None:
    model = changed(
        with_tokenizer("bert_classifier", tmp_path / "model", sentences=False),
        problem_type="multi_label_classification",
    )
    (found,) = asked(model, "text-classification", [{"text": "the hot a", "label": []}])
    expected = scores(model, "the hot a").sigmoid().tolist()
    assert [found.scores[f"LABEL_{i}"] for i in range(3)] == pytest.approx(expected, abs=1e-5)
    assert found.labels == tuple(f"LABEL_{i}" for i, share in enumerate(expected) if share > 0.5)


def test_a_tag_for_each_word(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForTokenClassification

    model = with_tokenizer("xlm_roberta_tokens", tmp_path / "model", sentences=False)
    words = ["the", "hot", "a", "nowhere", "of"]
    (found,) = asked(model, "token-classification", [{"tokens": words, "tags": ["O"] * 5}])
    network = AutoModelForTokenClassification.from_pretrained(model, dtype=torch.float32).eval()
    from tokenizers import Tokenizer

    ids = Tokenizer.from_file(str(model / "tokenizer.json")).encode(" ".join(words)).ids
    with torch.no_grad():
        rows = network(input_ids=torch.tensor([ids])).logits[0, 1:-1].argmax(-1)
    assert found == [f"LABEL_{i}" for i in rows.tolist()]


def test_a_model_without_the_head_says_so(tmp_path: Path) -> None:
    model = with_tokenizer("bert", tmp_path / "model")
    with pytest.raises(UnsupportedError, match="has no head"):
        asked(model, "text-classification", [{"text": "a", "label": "x"}])
    with pytest.raises(UnsupportedError, match="needs a model that answers questions"):
        asked(model, "question-answering", [{"question": "a", "context": "b", "answers": "c"}])
