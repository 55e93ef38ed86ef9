"""Probes from file to report, with tiny random encoders that have heads."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import honed
from honed.errors import ParameterError
from honed.notes import HonedWarning
from tiny_encoders import with_tokenizer

WORDS = ["the", "a", "of", "was", "hot", "to", "and"]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_tokenizer("bert_classifier", tmp_path_factory.mktemp("classifier"), sentences=False)


def task(directory: Path, labels: list[str], n: int = 12) -> Path:
    draw = random.Random(1)
    lines = [
        json.dumps({"text": " ".join(draw.choices(WORDS, k=draw.randint(3, 8))), "label": draw.choice(labels)})
        for _ in range(n)
    ]
    (directory / "data.jsonl").write_text("\n".join(lines))
    path = directory / "task.json"
    path.write_text(json.dumps({"version": 1, "task": "text-classification", "data": {"path": "data.jsonl"}}))
    return path


def section(report: Any, title: str) -> Any:
    return next(found for found in report["sections"] if found["title"] == title)


def test_a_model_against_itself_differs_in_nothing(classifier: Path, tmp_path: Path) -> None:
    with honed.load(classifier) as model:
        assert isinstance(model, honed.TextEncoder) and model.labels is not None
        labels = list(model.labels.names)
    templates = tmp_path / "bias.json"
    groups = {"one": {"word": ["hot", "to"]}, "two": {"word": ["was", "of"]}}
    texts = ["the {word} and", "a {word} of {word}"]
    templates.write_text(json.dumps({"version": 1, "groups": groups, "templates": texts, "label": labels[0]}))
    found = honed.evaluate_task(
        classifier, task(tmp_path, labels), classifier, dtype="float32", robustness=True, explain=True, bias=templates
    )
    report = json.loads(json.dumps(found.report, allow_nan=False))
    for values in section(report, "Robustness")["values"].values():
        assert values["changed"] == values["reference_changed"]
        assert values["accuracy"]["gap"]["value"] == values["log_loss"]["gap"]["value"] == 0
    upper = section(report, "Robustness")["values"]["upper case"]
    assert upper["log_loss"]["drop"]["value"] != 0, "no word of it is known"
    attacks = section(report, "Greedy word substitution")["values"]
    assert attacks["model"] == attacks["reference"] and attacks["model"]
    occlusion = section(report, "Attribution by occlusion")["values"]
    np.testing.assert_allclose(occlusion["model"][0], occlusion["reference"][0], atol=1e-6)
    gap = section(report, "Groups")["values"][0]
    assert gap["of"] == labels[0] and gap["change"]["value"] == pytest.approx(0, abs=1e-6)
    assert gap["ours"]["value"] != 0
    assert "Robustness" in found.html and "<mark" in found.html


def test_gradients_are_those_of_transformers(classifier: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification

    theirs = AutoModelForSequenceClassification.from_pretrained(classifier, dtype=torch.float32).eval()
    with honed.load(classifier, backend="pytorch") as model:
        assert isinstance(model, honed.TextEncoder)
        backend: Any = model.backend
        given = model.tasks.texts.encode("the hot a hot of")
        found = backend.gradient_times_input(given.tokens, given.types, "classes", 1)
    rows = theirs.get_input_embeddings()(torch.tensor([given.tokens])).detach().requires_grad_()
    theirs(inputs_embeds=rows).logits[0, 1].backward()
    expected = (rows.grad * rows).sum(-1)[0].detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert abs(found).max() > 1e-4 and found[2] != found[4], "the same word at two places"


def test_likelihoods_of_groups(tiny_llama: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("the a of\nwas hot to\n")
    data = {"version": 1, "task": "language-modelling", "data": {"path": str(tmp_path / "text.txt")}}
    templates = tmp_path / "bias.json"
    groups = {"one": {"word": "hot"}, "two": {"word": "was"}}
    templates.write_text(json.dumps({"version": 1, "groups": groups, "templates": ["the {word} of", "a {word}"]}))
    found = honed.evaluate_task(tiny_llama, data, bias=templates, dtype="float32")
    (gap,) = section(found.report, "Groups")["values"]
    with honed.load(tiny_llama, dtype="float32") as model:
        assert isinstance(model, honed.LanguageModel)
        from honed.evaluate.likelihood import likelihood

        def loss(text: str) -> float:
            ids = model.tokenizer.encode(text, add_special=False)
            if model.tokenizer.adds_begin_token and model.tokenizer.begin_token is not None:
                ids = [model.tokenizer.begin_token, *ids]
            return likelihood(model.backend, ids[:1], ids[1:]).logprob

        expected = np.mean([loss("the hot of") - loss("the was of"), loss("a hot") - loss("a was")])
    assert gap["ours"]["value"] == pytest.approx(expected, abs=1e-9)


def test_a_probe_that_a_task_has_no_inputs_for_says_so(tiny_llama: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("the a of\n")
    data = {"version": 1, "task": "language-modelling", "data": {"path": str(tmp_path / "text.txt")}}
    with pytest.raises(ParameterError, match="robustness = True: is for text-classification"):
        honed.evaluate_task(tiny_llama, data, robustness=True)
    with pytest.raises(ParameterError, match="explain = True: is for text-classification"):
        honed.evaluate_task(tiny_llama, data, explain=True)


def test_data_that_calls_labels_otherwise_is_refused(classifier: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"labels = 'bad, good': are no labels of .*, which says LABEL_0, LABEL_1"):
        honed.evaluate_task(classifier, task(tmp_path, ["good", "bad"]))
    with pytest.warns(HonedWarning, match="never says bad, which the data has"):
        assert honed.evaluate_task(classifier, task(tmp_path, ["LABEL_0", "bad"])).report["metrics"]
