"""`honed inspect`: what it says of a directory and of an artifact, and the plan as text."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import honed
from inspected_models import LLAMA, write, zeros
from tiny_encoders import with_tokenizer


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "honed.cli.main", "inspect", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_json_of_a_directory(tiny_llama: Path) -> None:
    done = run(str(tiny_llama), "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["kind"], report["model_type"]) == ("huggingface", "llama")
    assert (report["layers"], report["heads"], report["kv_heads"], report["head_dim"]) == (2, 4, 2, 12)
    assert report["file_bytes"] == (tiny_llama / "model.safetensors").stat().st_size
    assert set(report["encodings"]) == {"dense float32"}
    assert report["encodings"]["dense float32"]["bytes"] == 4 * report["parameters"]
    assert len(report["tensors"]) == report["encodings"]["dense float32"]["tensors"]


def test_an_artifact_shows_its_encodings_and_where_it_comes_from(tiny_llama: Path, tmp_path: Path) -> None:
    honed.compress(tiny_llama, "int8", out=tmp_path / "out")
    report = json.loads(run(str(tmp_path / "out"), "--json").stdout)
    assert report["kind"] == "artifact"
    assert any(kind.startswith("int8") for kind in report["encodings"])
    assert set(report["manifest"]["source"]["files"]) >= {"model.safetensors"}


def test_text_lists_sizes_and_tensors(tiny_llama: Path) -> None:
    text = run(str(tiny_llama), "--tensors").stdout
    assert "4 query, 2 key/value, 12 wide" in text
    assert "model.layers.1.mlp.down_proj.weight" in text
    assert "48x80" in text


def test_the_plan_is_the_fused_one(tiny_llama: Path) -> None:
    text = run(str(tiny_llama), "--plan").stdout
    assert "rope_kv" in text
    assert "gated_silu" in text


def test_a_name_that_leads_nowhere_is_one_line(tmp_path: Path) -> None:
    done = run(str(tmp_path / "nothing"))
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "nothing" in done.stderr


def test_an_encoder(tmp_path: Path) -> None:
    encoder = str(with_tokenizer("minilm", tmp_path / "encoder"))
    report = json.loads(run(encoder, "--json").stdout)
    assert (report["model_type"], report["layers"], report["heads"], report["context"]) == ("bert", 2, 12, 40)
    text = run(encoder, "--plan").stdout
    assert "layer_norm" in text
    assert "mean in s" in text
    assert "pooler" not in text


def test_what_does_not_run_is_told_and_is_no_failure(tmp_path: Path) -> None:
    config = {**LLAMA, "alibi": True, "hidden_act": "relu6"}
    done = run(write(tmp_path, config, zeros(LLAMA)))
    assert done.returncode == 0, done.stderr
    assert "no: 2 things are missing or not known" in done.stdout
    assert "alibi = True" in done.stdout
    assert "hidden_act = 'relu6'" in done.stdout
    assert "KV cache, full context" not in done.stdout.split("memory")[0]


def test_what_is_not_known_of_a_model_is_left_out(tmp_path: Path) -> None:
    done = run(write(tmp_path, {"model_type": "elsewhere"}, zeros(LLAMA)))
    assert done.returncode == 0, done.stderr
    assert "'elsewhere' is not supported" in done.stdout
    assert "? query" not in done.stdout


def test_what_runs_is_told_with_its_memory(tiny_llama: Path) -> None:
    text = run(str(tiny_llama)).stdout
    assert "yes, honed generate" in text
    assert "all of it fits" in text


def test_a_directory_of_something_else_ends_with_2(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no model")
    done = run(str(tmp_path), "--json")
    assert (done.returncode, done.stdout) == (2, "")
