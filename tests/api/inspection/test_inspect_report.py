"""What is said of checkpoints that run, and that it is the reader's own verdict that decides."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import honed
from gguf_builder import write_model
from honed.api.inspection.report import examine
from honed.errors import SourceError
from inspected_models import LLAMA, sample, write, zeros

KEYS = {"memory", "runs", "runs_with", "tokenizer", "tokenizer_problem", "faults", "nearest", "quantization", "head"}


def test_a_model_that_runs(tiny_llama: Path) -> None:
    report = examine(str(tiny_llama))
    assert report["runs"]
    assert report["tokenizer"]
    assert (report["runs_with"], report["faults"], report["nearest"]) == ("honed generate", [], None)
    fits = report["memory"]["fits"]
    assert fits == {"weights_and_1024_tokens": True, "full_context": True}
    json.dumps(report)


def test_without_a_tokenizer_it_still_runs(tmp_path: Path) -> None:
    report = examine(write(tmp_path, LLAMA, zeros(LLAMA)))
    assert report["runs"]
    assert not report["tokenizer"]
    assert "has no tokenizer.json" in report["tokenizer_problem"]


def test_an_artifact_and_an_encoder_run_too(tiny_llama: Path, tmp_path: Path) -> None:
    honed.compress(tiny_llama, "int8", out=tmp_path / "out")
    artifact = examine(str(tmp_path / "out"))
    assert (artifact["kind"], artifact["runs"], artifact["quantization"]) == ("artifact", True, "compressed-tensors")
    assert artifact["manifest"]["recipe"]
    encoder = examine(write(tmp_path / "encoder", sample("bert"), zeros(sample("bert"))))
    assert (encoder["runs"], encoder["runs_with"]) == (True, "honed embed")
    assert encoder["head"] is None
    assert encoder["memory"]["kv_dtype"] is None
    assert encoder["memory"]["kv_bytes_at_full_context"] == 0


def test_the_head_of_an_encoder(tmp_path: Path) -> None:
    config = {**sample("bert"), "architectures": ["BertForTokenClassification"], "id2label": {"0": "O", "1": "B-x"}}
    head = examine(write(tmp_path, config, zeros(config)))["head"]
    assert head == {"kind": "tags", "labels": ["O", "B-x"], "problem": "single_label_classification"}


def test_a_changed_artifact_is_told_of(tiny_llama: Path, tmp_path: Path) -> None:
    honed.compress(tiny_llama, "int8", out=tmp_path / "out")
    config = tmp_path / "out" / "config.json"
    config.write_text(config.read_text() + " ")
    report = examine(str(tmp_path / "out"))
    assert not report["runs"]
    assert any(fault["name"] == "config.json" for fault in report["faults"])


def test_all_reports_have_the_same_keys(tiny_llama: Path, tmp_path: Path) -> None:
    runs = examine(str(tiny_llama))
    reports = [
        examine(write(tmp_path / "config", LLAMA)),
        examine(write(tmp_path / "weights", None, zeros(LLAMA))),
        examine(str(write_model(tmp_path / "m.gguf", changed={".attention.clamp_kqv": 3.0}))),
        examine(str(write_model(tmp_path / "n.gguf"))),
    ]
    assert runs.keys() >= KEYS
    for report in reports:
        assert report.keys() == runs.keys()
        json.dumps(report)


def test_a_name_that_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        examine(str(tmp_path / "nothing"))
