from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import honed
from headed_models import headed

ROWS = 60


def command(model: Path, source: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "honed.cli.main", "run", str(model), str(source), *words]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"id": i, "prompt": "the of and to"}) + "\n" for i in range(ROWS)))
    return path


SAMPLED = ("--temperature", "1.5", "--seed", "3", "--max-tokens", "40", "--together", "4")


@pytest.mark.slow
def test_killed_at_any_point_it_goes_on_to_the_same_bytes(tiny_llama: Path, source: Path, tmp_path: Path) -> None:
    subprocess.run(command(tiny_llama, source, "-o", str(tmp_path / "whole.jsonl"), *SAMPLED), check=True, timeout=120)
    whole = (tmp_path / "whole.jsonl").read_bytes()
    assert whole.count(b"\n") == ROWS
    target, journal = tmp_path / "out.jsonl", tmp_path / "out.jsonl.partial"
    kills = 0
    for lines in (1, 5, 20, 40):
        process = subprocess.Popen(command(tiny_llama, source, "-o", str(target), *SAMPLED), stderr=subprocess.PIPE)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if journal.exists() and journal.read_bytes().count(b"\n") > lines:
                process.send_signal(signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.002)
        process.communicate(timeout=60)
    assert kills
    if not target.exists():
        subprocess.run(command(tiny_llama, source, "-o", str(target), *SAMPLED), check=True, timeout=120)
    assert target.read_bytes() == whole
    assert not journal.exists()


def test_what_is_wrong_is_said_before_a_model_is_loaded(tmp_path: Path, source: Path) -> None:
    for words, said in (
        ([str(tmp_path / "in.xlsx")], "must end with one of"),
        ([str(source), "-o", str(tmp_path / "a" / "b.jsonl")], "make it first"),
        ([str(source), "-o", str(source), "--overwrite"], "is the input"),
    ):
        done = subprocess.run(
            command(Path("none"), Path(words[0]), *words[1:]),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2 and said in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
    assert source.read_text().count("\n") == ROWS


def test_a_task_of_a_head(tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps({"id": i, "text": "Ann lives in Paris"}) + "\n" for i in range(3)))
    model = headed("bert", "ForTokenClassification")
    words = ["-o", str(target), "--task", "ner", "--parameter", "aggregation_strategy=first"]
    subprocess.run(command(model, source, *words), check=True, timeout=120, capture_output=True)
    with honed.pipeline("ner", model, aggregation_strategy="first") as pipe:
        expected = pipe("Ann lives in Paris")
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    assert rows == [{"id": i, "text": "Ann lives in Paris", "entities": expected} for i in range(3)]
    done = subprocess.run(
        command(model, source, *words[:1], str(tmp_path / "b.jsonl"), "--task", "ner", "--parameter", "first"),
        check=False,
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "NAME=VALUE" in done.stderr and "Traceback" not in done.stderr
