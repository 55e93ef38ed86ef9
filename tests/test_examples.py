"""The programs in examples/ as a user runs them, with tiny models and against a server with one."""

from __future__ import annotations

import csv
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import honed
from chatty_model import with_template
from headed_models import headed
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


def test_entities_to_table(tmp_path: Path) -> None:
    texts = {"a.txt": "Ann lives in Paris.\nבירושלים \U0001f600 Ann\n", "deep/b.txt": "北京 " * 80, "c.md": "Ann"}
    for name, text in texts.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(text, encoding="utf-8")
    (tmp_path / "in" / "d.txt").write_bytes(b"\xff\xfe")
    table = tmp_path / "names.csv"
    done = run("entities_to_table.py", str(headed("bert", "ForTokenClassification")), str(tmp_path / "in"), str(table))
    assert done.returncode == 0 and "d.txt: left out" in done.stderr and done.stdout.startswith("2 files: ")
    with table.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert {row["file"] for row in rows} <= {"a.txt", "deep/b.txt"} and rows
    for row in rows:
        whole = texts[row["file"]]
        assert whole[int(row["start"]) : int(row["end"])] == row["text"]
        assert int(row["line"]) == whole[: int(row["start"])].count("\n") + 1
    wrong = run("entities_to_table.py", str(headed("bert", "ForMaskedLM")), str(tmp_path), str(table))
    assert wrong.returncode == 1 and "labels tokens" in wrong.stderr and "Traceback" not in wrong.stderr


def test_support_bot(tiny_llama: Path, tmp_path: Path) -> None:
    """With models that know nothing: vectors are kept, and what changed is embedded again."""
    encoder, model = str(headed("bert", "ForMaskedLM")), str(with_template(tiny_llama, tmp_path / "model"))
    words = ["--encoder", encoder, "--model", model, "--database", str(tmp_path / "base"), "--max-tokens", "3"]
    articles = tmp_path / "articles.txt"
    articles.write_text("the of\n\nto and\n")
    first = run("support_bot.py", *words, "--articles", str(articles), "the of")
    assert first.returncode == 0 and "2 articles, 2 of them new" in first.stdout, first.stderr
    assert "[1.00 the of]" in first.stdout
    articles.write_text("the of\n\nis it\n")
    second = run("support_bot.py", *words, "--articles", str(articles), typed="to and\n")
    assert second.returncode == 0 and "2 articles, 1 of them new" in second.stdout
    assert "to and]" not in second.stdout


def test_mood_monitor(tmp_path: Path) -> None:
    picture = tmp_path / "mood.svg"
    classifier = headed("bert", "ForSequenceClassification", labels=("negative", "positive"))
    encoder = str(headed("bert", "ForMaskedLM"))
    lines = "".join(f"Ann lives {number}\n" for number in range(40))
    done = run(
        "mood_monitor.py", "--encoder", encoder, "--classifier", str(classifier), "--plot", str(picture), typed=lines
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Ann lives") == 40
    assert ElementTree.fromstring(picture.read_text()).tag.endswith("svg")


def test_a_surge_is_told_once_it_is_more_than_chance() -> None:
    sys.path.insert(0, str(EXAMPLES))
    try:
        surge_of: Any = importlib.import_module("mood_monitor").Surge
    finally:
        sys.path.pop(0)
    calm = 0
    for seed in range(6):
        random, surge = np.random.default_rng(seed), surge_of(20)
        calm += sum(surge.add(bool(random.random() < 0.1)) for _ in range(400))
        assert any(surge.add(True) for _ in range(10))
    assert calm < 12


def test_recommender(tmp_path: Path) -> None:
    """With vectors that say nothing of the texts, a number of their own says what is clicked, and is learned."""
    articles, clicks = tmp_path / "articles.jsonl", tmp_path / "clicks.jsonl"
    random = np.random.default_rng(2)
    listed: list[dict[str, Any]] = [
        {"id": number, "text": f"Ann {number}", "age": int(random.integers(0, 9))} for number in range(60)
    ]
    articles.write_text("".join(json.dumps(one) + "\n" for one in listed))
    shown = [listed[int(random.integers(0, 50))] for _ in range(200)]
    clicks.write_text("".join(json.dumps({"id": one["id"], "clicked": one["age"] < 4}) + "\n" for one in shown))
    done = run(
        "recommender.py", str(articles), str(clicks), "--encoder", str(headed("bert", "ForMaskedLM")), "--top", "3"
    )
    assert done.returncode == 0, done.stderr
    told, *best = done.stdout.splitlines()
    first, second = (float(word) for word in re.findall(r"[0-9]\.[0-9]+", told))
    assert second < first and second < 0.35
    assert len(best) == 3 and all(listed[int(line.split()[1])]["age"] < 4 for line in best)


@pytest.mark.real_model
def test_the_notebook_learns_what_its_reader_likes(minilm: Path) -> None:
    document = json.loads((EXAMPLES / "recommender.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in document["cells"] if cell["cell_type"] == "code"]
    check = "assert np.mean(losses[-30:]) < 0.5 < np.mean(losses[:30]), losses\n"
    check += "assert all(name.startswith('cooking') for name in ranking[:5]), ranking"
    program = "\n\n".join([*cells, check])
    environment = {**os.environ, "HONED_EXAMPLE_ENCODER": str(minilm)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=EXAMPLES,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.real_model
def test_the_bot_finds_the_right_article(minilm: Path, tiny_llama: Path, tmp_path: Path) -> None:
    model = str(with_template(tiny_llama, tmp_path / "model"))
    questions = {"Can I send a gift back?": "Returns", "When does my parcel arrive?": "Delivery", "It broke": "Repairs"}
    done = run(
        "support_bot.py",
        "--encoder",
        str(minilm),
        "--model",
        model,
        "--max-tokens",
        "1",
        *questions,
        "Who won the cup?",
    )
    assert done.returncode == 0, done.stderr
    parts = done.stdout.split("> ")[1:]
    for part, article in zip(parts, questions.values(), strict=False):
        assert re.search(r"^\[0\.[0-9]+ (\w+)", part, re.MULTILINE).group(1) == article  # type: ignore[union-attr]
    assert "I find nothing" in parts[-1]
