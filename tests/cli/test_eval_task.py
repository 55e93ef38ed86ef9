from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from honed.cli.main import main, make_app


def run(*arguments: object) -> str:
    done = CliRunner().invoke(make_app(), ["eval", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def task(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text("the a of was\nhot to and the\na of\n")
    path = tmp_path / "mine.yaml"
    path.write_text("version: 1\ntask: language-modelling\ndata: {path: text.txt}\n")
    return path


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    monkeypatch.setattr("sys.argv", ["honed", "eval", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    return capsys.readouterr().err


def test_a_table_and_both_files(tiny_llama: Path, task: Path, tmp_path: Path) -> None:
    output = run(tiny_llama, "--task", task, "--reference", tiny_llama, "--dtype", "bfloat16", "-o", tmp_path / "out")
    assert f"mine: {tiny_llama} against {tiny_llama} in float32" in output
    for shown in ("perplexity", "bits_per_byte", "kl", "top1_agreement", "gap", "3 of 3 examples of text.txt"):
        assert shown in output
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["metrics"]["kl"]["value"]["value"] > 0
    assert (tmp_path / "out" / "report.html").read_text().startswith("<!doctype html>")


def test_json_is_the_report(tiny_llama: Path, task: Path) -> None:
    report = json.loads(run(tiny_llama, "--task", task, "--limit", 2, "--json"))
    assert report["data"]["examples"] == 2 and report["reference"] is None


def test_options_of_one_kind_are_refused_beside_the_other(
    tiny_llama: Path, task: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(monkeypatch, capsys, tiny_llama, "--task", task, "--windows", 2)
    assert said == "honed: windows = '2': is for a text; leave it out beside --task and --lm-eval\n"
    said = refused(monkeypatch, capsys, tiny_llama, "--robustness")
    assert said.startswith("honed: robustness = 'True': is of --task; give a task file")
    said = refused(monkeypatch, capsys, tiny_llama, "--lm-eval", "x", "--bias", task)
    assert "is not for --lm-eval" in said
    said = refused(monkeypatch, capsys, tiny_llama, "--lm-eval", ",")
    assert "must name tasks" in said
    said = refused(monkeypatch, capsys, tiny_llama, "--task", task.with_name("none.yaml"))
    assert "none.yaml" in said and "Traceback" not in said
