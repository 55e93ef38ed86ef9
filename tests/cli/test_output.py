"""JSON without what JSON has not, and tables that a pipe can read."""

from __future__ import annotations

import io
import json
import sys

import pytest

from honed.cli import output
from honed.cli.output import print_json, print_line, print_pairs, print_table


def test_nan_and_infinity_become_null(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": float("nan"), "b": [1.5, float("inf")], "c": ("é", None, True)})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [1.5, None], "c": ["é", None, True]}


def test_a_vector_is_one_line_and_a_text_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"vectors": [[0.5, -1e-8, 3], []], "text": "[\n1,\n2\n]", "names": ["a"], "mixed": [1, None]}
    print_json(value)
    printed = capsys.readouterr().out
    assert "    [0.5, -1e-08, 3],\n" in printed
    assert json.loads(printed) == value


def test_columns_line_up_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("title", ("name", "MB"), [["a", "1.0"], ["long name", "200.0"]])
    assert capsys.readouterr().out.splitlines() == ["title", "name          MB", "a            1.0", "long name  200.0"]


HOSTILE = "a\x1b[31mred\x1b]0;title\x07\r\nb\x9b2J\u202ec\ud800"


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    text = capsys.readouterr().out
    assert not set(text) & set("\x1b\x07\r\x9b\u202e\ud800")
    return text


def test_names_from_files_are_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(HOSTILE, ("name", HOSTILE), [[HOSTILE, "1"]])
    print_pairs(HOSTILE, {HOSTILE: HOSTILE})
    print_line(HOSTILE)
    lines = shown(capsys).splitlines()
    assert len(lines) == 6
    assert all("\\x1b[31mred" in line for line in lines)


def test_on_a_terminal_too(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "200")
    print_table(f"[bold]{HOSTILE}", ("name", HOSTILE), [[HOSTILE, "[red]1"]])
    text = shown(capsys)
    assert "[bold]" in text
    assert "[red]" in text


def test_halves_of_pairs_are_valid_json_for_everybody(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a\ud800": ["\udcff", "\U0001f600"]})
    text = capsys.readouterr().out
    assert json.loads(text.encode()) == {"a\ufffd": ["\ufffd", "\U0001f600"]}
    assert "ud8" not in text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_json_in_other_encodings_loses_nothing(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, errors="replace"))
    print_json({"text": "caf\u00e9 \u65e5"})
    sys.stdout.flush()
    assert json.loads(raw.getvalue().decode("ascii")) == {"text": "caf\u00e9 \u65e5"}


def test_json_on_a_terminal_is_the_same_value(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_json({"text": "\x9b2J\x7f\x1b[31m\n"})
    text = capsys.readouterr().out
    assert not set(text) & set("\x1b\x9b\x7f")
    assert json.loads(text) == {"text": "\x9b2J\x7f\x1b[31m\n"}


def test_text_in_a_pipe_is_left_as_it_is() -> None:
    assert output.for_terminal(HOSTILE) == HOSTILE
