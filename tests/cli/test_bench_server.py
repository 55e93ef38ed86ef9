from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from fake_server import fake_server


def honed(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "honed.cli.main", *words], capture_output=True, text=True, timeout=120, check=False
    )


def test_a_load_is_measured_and_written(tmp_path: Path) -> None:
    with fake_server() as (url, asked):
        words = ["--requests", "4", "--streams", "2", "--prompt-tokens", "16", "--new-tokens", "3"]
        done = honed("bench", "--server", url, *words, "--out", str(tmp_path / "load.json"), "--json")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["finished"] == 4 and printed["model"] == "fake"
    assert json.loads((tmp_path / "load.json").read_text()) == printed
    assert {request["model"] for request in asked} == {"fake"}


def test_failures_are_told_and_are_a_failure() -> None:
    with fake_server(fails=True) as (url, _):
        done = honed("bench", "fake", "--server", url, "--requests", "2", "--new-tokens", "3")
    assert done.returncode != 0
    assert "2 of 2 requests failed: status 500" in done.stderr
    assert "2 failed" in done.stdout


def test_what_means_nothing_to_a_server_is_refused() -> None:
    done = honed("bench", "--server", "http://127.0.0.1:1", "--kv", "int8")
    assert done.returncode == 2 and "kv" in done.stderr and "--server" in done.stderr
    done = honed("bench", "--server", "127.0.0.1")
    assert done.returncode == 2 and "http://127.0.0.1:8000" in done.stderr
    done = honed("bench")
    assert done.returncode == 2 and "models" in done.stderr
