"""The programs in examples/ as a user runs them, against a server with a tiny model."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import honed
from chatty_model import with_template
from running_server import RunningServer

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="module")
def server(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = with_template(tiny_llama, tmp_path_factory.mktemp("examples") / "model")
    with RunningServer({"tiny": lambda: honed.load(directory)}) as running:
        yield f"{running.url}/v1"


def run(name: str, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / name), *words]
    return subprocess.run(command, input=typed, capture_output=True, text=True, timeout=120, check=False)


def test_every_example_is_run_here_and_short() -> None:
    text = Path(__file__).read_text()
    for path in EXAMPLES.glob("*.py"):
        assert f'"{path.name}"' in text, f"{path.name} is run by no test"
        assert len(path.read_text().splitlines()) < 150


def test_chat_client(server: str) -> None:
    done = run("chat_client.py", "--url", server, "--max-tokens", "5", typed="the of\nto and\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("prompt tokens") == 2 and "tiny at" in done.stdout


def test_structured_extraction(server: str) -> None:
    done = run("structured_extraction.py", "--url", server, "the of", "to and")
    # A model of a hundred words has no letters for JSON; one that has them gives two lines.
    if done.returncode == 0:
        assert [set(json.loads(line)) for line in done.stdout.splitlines()] == [{"name", "place", "year"}] * 2
    else:
        assert "Traceback" not in done.stderr and server in done.stderr


def test_a_server_that_is_not_there_is_named() -> None:
    for name in ("chat_client.py", "structured_extraction.py"):
        done = run(name, "--url", "http://127.0.0.1:1/v1")
        assert done.returncode == 1 and "http://127.0.0.1:1/v1" in done.stderr and "Traceback" not in done.stderr
