"""`honed embed`: where texts come from, and what is printed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import honed
from terminal_session import TerminalSession
from tiny_encoders import with_tokenizer

TEXTS = ["the query of one", "it was", "the query of one that is in this"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_tokenizer("bert", tmp_path_factory.mktemp("encoder") / "tiny")


def run(*arguments: object, stdin: str | bytes | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "honed.cli.main", "embed", *map(str, arguments)]
    data = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(command, input=data or b"", capture_output=True, check=False)
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


def rows_of(text: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.loadtxt(text.splitlines(), dtype=np.float32, ndmin=2)


def test_a_line_of_numbers_a_text(encoder: Path) -> None:
    with honed.load(encoder) as model:
        expected = model.embed(TEXTS)
    done = run(encoder, *TEXTS)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(rows_of(done.stdout), expected)


def test_texts_from_a_file_and_from_standard_input(encoder: Path, tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("\r\n".join(TEXTS) + "\n\n")
    given = run(encoder, *TEXTS, "").stdout
    assert run(encoder, "--file", file).stdout == given
    assert run(encoder, stdin="\n".join(TEXTS) + "\n\n").stdout == given
    assert run(encoder, "-", stdin="\n".join(TEXTS) + "\n\n").stdout == given


def test_json_says_how_it_was_done(encoder: Path) -> None:
    found = json.loads(run(encoder, TEXTS[0], "--json").stdout)
    assert (found["width"], found["pooling"], found["normalized"], found["prompt"]) == (48, "mean", True, None)
    (one,) = found["embeddings"]
    assert one["text"] == TEXTS[0]
    assert np.linalg.norm(one["embedding"]) == pytest.approx(1)
    other = json.loads(
        run(encoder, TEXTS[0], "--json", "--pooling", "cls", "--no-normalize", "--prompt", "query").stdout
    )
    assert (other["pooling"], other["normalized"], other["prompt"]) == ("cls", False, "query")
    assert other["embeddings"][0]["embedding"] != one["embedding"]


def test_a_terminal_shows_how_close_texts_are(encoder: Path) -> None:
    with TerminalSession("embed", encoder, *TEXTS) as session:
        shown = session.read_until("it was")
        assert session.wait() == 0
    assert "cosine to the first" in shown
    assert "1.000" in shown


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (("a text", "--file", "texts.txt"), "", "texts come from --file or from the command line"),
        (("--file", "no such file"), "", "no such file"),
        ((), b"\xff\n", "standard input: line 1: must be UTF-8 text, and byte 0xff is not"),
        (("a", "--pooling", "max"), "", "must be one of mean, cls, last"),
        (("a", "--prompt", "title"), "", "must be one of query"),
    ],
)
def test_what_is_refused(encoder: Path, arguments: tuple[str, ...], stdin: str | bytes, message: str) -> None:
    done = run(encoder, *arguments, stdin=stdin)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_each_verb_says_which_one_is_meant(encoder: Path, tiny_llama: Path) -> None:
    assert "generates text, and vectors of texts are not had from it yet" in run(tiny_llama, "a").stderr
    command = [sys.executable, "-m", "honed.cli.main", "generate", str(encoder), "a"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "is an encoder" in done.stderr) == (2, True)
