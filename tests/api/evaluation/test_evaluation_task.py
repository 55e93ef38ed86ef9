"""Tasks from file to report, on tiny random models: what is promised of every report, and each kind of task."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import honed
from honed.errors import ParameterError, UnsupportedError
from honed.notes import HonedWarning
from tiny_encoders import with_tokenizer

WORDS = ["the", "a", "of", "was", "hot", "to", "and"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_tokenizer("bert", tmp_path_factory.mktemp("encoder"))


def texts(seed: int, n: int) -> list[str]:
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, size=draw.integers(3, 9))) for _ in range(n)]


def task(directory: Path, kind: str, rows: list[dict[str, Any]], **more: Any) -> Path:
    (directory / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = directory / "task.json"
    path.write_text(json.dumps({"version": 1, "task": kind, "data": {"path": "data.jsonl"}, **more}))
    return path


def test_similarity_is_the_correlation_of_cosines(encoder: Path, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"text": a, "text_pair": b, "score": i} for i, (a, b) in enumerate(zip(texts(1, 12), texts(2, 12), strict=True))
    ]
    found = honed.evaluate_task(encoder, task(tmp_path, "similarity", rows), reference=encoder)
    with honed.load(encoder) as model:
        a, b = (np.asarray(model.embed([row[name] for row in rows])) for name in ("text", "text_pair"))
    cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert found.value("pearson") == pytest.approx(np.corrcoef(cosines, range(12))[0, 1], abs=1e-6)
    report = found.report
    assert report["reference"]["dtype"] == "float32" and report["model"]["dtype"] == "auto"
    assert report["metrics"]["pearson"]["gap"]["value"] == pytest.approx(0, abs=1e-6)
    assert report["data"]["rows"] == 12
    with pytest.raises(ParameterError, match="metric = 'accuracy': must be one of spearman, pearson"):
        found.value("accuracy")


def test_the_report_is_written_and_the_same_again(encoder: Path, tmp_path: Path) -> None:
    rows = [{"query": text, "candidates": texts(i, 4), "grades": [0, 1, 0, 2]} for i, text in enumerate(texts(3, 6))]
    path = task(tmp_path, "ranking", rows, limit=5)
    first, again = (honed.evaluate_task(encoder, path) for _ in range(2))
    assert first.report == again.report
    assert first.report["reference"] is None and first.report["data"]["examples"] == 5
    written, html = first.write(tmp_path / "out")
    assert json.loads(written.read_text()) == json.loads(json.dumps(first.report))
    assert html.read_text() == first.html
    assert 0 < first.value("ndcg@10") <= 1
    assert len(honed.evaluate_task(encoder, path, limit=2).report["worst"]) == 2


def test_documents_are_predicted_by_both(tiny_llama: Path, tmp_path: Path) -> None:
    path = task(tmp_path, "language-modelling", [{"text": text} for text in texts(4, 5)])
    found = honed.evaluate_task(tiny_llama, path, reference=tiny_llama, dtype="bfloat16")
    metrics = found.report["metrics"]
    assert metrics["kl"]["value"]["value"] > 0 == metrics["kl"]["reference"]["value"]
    alone = honed.evaluate_task(tiny_llama, path, dtype="bfloat16")
    assert set(alone.report["metrics"]) == {"perplexity", "bits_per_byte"}
    assert alone.value("perplexity") == pytest.approx(found.value("perplexity"), rel=1e-9)
    named = task(tmp_path, "language-modelling", [{"text": "the a"}], metrics=["kl"])
    with pytest.raises(ParameterError, match="reference = None: must be there for kl and top1_agreement"):
        honed.evaluate_task(tiny_llama, named)


def test_labels_are_scored_as_continuations(tiny_llama: Path, tmp_path: Path) -> None:
    rows = [{"text": text, "label": i % 2} for i, text in enumerate(texts(5, 8))]
    prompt = {"prompt": "{text} was", "labels": {"0": "hot", "1": "the"}}
    found = honed.evaluate_task(tiny_llama, task(tmp_path, "text-classification", rows, **prompt), dtype="float32")
    with honed.load(tiny_llama, dtype="float32") as model:
        assert isinstance(model, honed.LanguageModel)
        from honed.evaluate.likelihood import likelihood

        right = 0
        for row in rows:
            scores = [
                likelihood(
                    model.backend,
                    model.encode(f"{row['text']} was"),
                    model.tokenizer.encode(f" {label}", add_special=False),
                ).logprob
                for label in ("hot", "the")
            ]
            right += int(np.argmax(scores)) == row["label"]
    assert found.value("accuracy") == right / 8
    with pytest.raises(ParameterError, match="prompt = None: must be there"):
        honed.evaluate_task(tiny_llama, task(tmp_path, "text-classification", rows, labels=prompt["labels"]))


def test_replies_are_compared_with_references(tiny_llama: Path, tmp_path: Path) -> None:
    with honed.load(tiny_llama) as model:
        said = model.generate("the a of", max_tokens=4, temperature=0).text
    rows: list[dict[str, Any]] = [
        {"q": "the a of", "references": [said, "x"]},
        {"q": "was hot", "references": "nothing like it"},
    ]
    settings = {"prompt": "{q}", "max_tokens": 4, "metrics": ["exact_match", "answer_f1"]}
    found = honed.evaluate_task(tiny_llama, task(tmp_path, "generation", rows, **settings))
    assert found.value("exact_match") >= 0.5
    assert found.report["worst"][0]["row"] == 2


def test_programs_are_run(tiny_llama: Path, tmp_path: Path) -> None:
    rows = [{"prompt": "the", "tests": "assert True"}, {"prompt": "a", "tests": "assert False"}]
    # What a random model writes is no program: here it stands behind a comment sign.
    settings = {
        "program": "#{completion}\n{tests}\n",
        "max_tokens": 2,
        "samples": 2,
        "temperature": 1.0,
        "stop": ["\n"],
        "metrics": ["pass@1", "pass@2"],
        "options": {"network": True},
    }
    found = honed.evaluate_task(tiny_llama, task(tmp_path, "code", rows, **settings))
    assert found.value("pass@1") == found.value("pass@2") == 0.5


def test_a_model_of_the_wrong_kind_says_so(tiny_llama: Path, encoder: Path, tmp_path: Path) -> None:
    pairs = task(tmp_path, "similarity", [{"text": "a", "text_pair": "a", "score": 1}])
    with pytest.raises(UnsupportedError, match="generates text; similarity needs an encoder"):
        honed.evaluate_task(tiny_llama, pairs)
    with pytest.raises(UnsupportedError, match="is an encoder"):
        honed.evaluate_task(encoder, task(tmp_path, "generation", [{"references": "a"}], prompt="x"))


def test_an_artifact_is_compared_with_its_source_as_long_as_that_is_there(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    shutil.copytree(tiny_llama, source)
    monkeypatch.chdir(tmp_path)
    honed.compress("source", recipe="int8", out=tmp_path / "int8")
    path = task(tmp_path, "language-modelling", [{"text": text} for text in texts(4, 3)])
    found = honed.evaluate_task(tmp_path / "int8", path)
    assert found.report["reference"]["name"] == "source" and found.value("kl") > 0
    shutil.rmtree(source)
    with pytest.warns(HonedWarning, match="the source of .* cannot be found"):
        assert honed.evaluate_task(tmp_path / "int8", path).report["reference"] is None
