"""`honed compress` as it is called: exit codes, one JSON document, plain progress off a terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from divisible_models import save_llama


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("cli") / "llama")


def honed(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "honed.cli.main", "compress", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_json_is_one_document_and_progress_goes_to_stderr(llama: Path, tmp_path: Path) -> None:
    done = honed(str(llama), "--recipe", "int4", "-o", str(tmp_path / "out"), "--threads", "1", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["path"] == str(tmp_path / "out")
    assert {tensor["name"] for tensor in report["tensors"]} >= {"lm_head.weight"}
    lines = done.stderr.splitlines()
    assert 1 <= len(lines) <= 10
    assert all("\x1b" not in line and "weights" in line for line in lines)
    assert (tmp_path / "out" / "honed.json").exists()


def test_a_report_for_people(llama: Path, tmp_path: Path) -> None:
    done = honed(str(llama), "-o", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert "mean relative error" in done.stdout
    again = honed(str(llama), "-o", str(tmp_path / "out"))
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr.startswith("honed: ")
    assert len(again.stderr.splitlines()) == 1
    assert "exists already" in again.stderr
    assert honed(str(llama), "-o", str(tmp_path / "out"), "--overwrite").returncode == 0


@pytest.mark.parametrize(
    ("recipe", "message"),
    [("itn8", "did you mean 'int8'?"), ("none.json", "cannot be read")],
)
def test_a_wrong_recipe_is_one_line_and_exit_code_two(llama: Path, tmp_path: Path, recipe: str, message: str) -> None:
    done = honed(str(llama), "--recipe", recipe, "-o", str(tmp_path / "out"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert not any(tmp_path.iterdir())


def test_a_dry_run_shows_the_plan_and_leaves_nothing(llama: Path, tmp_path: Path) -> None:
    done = honed(str(llama), "-r", "int4", "-o", str(tmp_path / "out"), "--threads", "1", "--dry-run")
    assert done.returncode == 0, done.stderr
    for text in ("bits a weight", "smooth + round_to_nearest", "at most 1024 tokens, built-in", "layers.*.mlp.up_proj"):
        assert text in done.stdout
    assert not any(tmp_path.iterdir())
    plan = json.loads(honed(str(llama), "-o", str(tmp_path / "out"), "--dry-run", "--json").stdout)
    assert plan["bytes"] < plan["disk_bytes"] < plan["free_disk_bytes"]
    both = honed(str(llama), "-o", str(tmp_path / "out"), "--dry-run", "--resume")
    assert (both.returncode, both.stdout) == (2, "")
    assert "--resume is for a run" in both.stderr


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.2, "1 s"), (99, "99 s"), (150, "2 min"), (5000, "83 min"), (9000, "2.5 h")]
)
def test_times_are_for_people(seconds: float, shown: str) -> None:
    from honed.cli.compress import shown_time

    assert shown_time(seconds) == shown


def test_a_job_that_was_begun_is_told_of_in_one_line(llama: Path, tmp_path: Path) -> None:
    from honed.checkpoints.job.folder import create_job

    create_job(tmp_path / "out", {"model": "another"})
    done = honed(str(llama), "-o", str(tmp_path / "out"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--resume" in done.stderr
    refused = honed(str(llama), "-o", str(tmp_path / "out"), "--resume")
    assert "begun with another model" in refused.stderr
    assert honed(str(llama), "-o", str(tmp_path / "out"), "--restart").returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
