"""JSON without what JSON has not, and tables that a pipe can read."""

from __future__ import annotations

import json

import pytest

from honed.cli.output import print_json, print_table


def test_nan_and_infinity_become_null(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": float("nan"), "b": [1.5, float("inf")], "c": ("é", None, True)})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [1.5, None], "c": ["é", None, True]}


def test_columns_line_up_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("title", ("name", "MB"), [["a", "1.0"], ["long name", "200.0"]])
    assert capsys.readouterr().out.splitlines() == ["title", "name          MB", "a            1.0", "long name  200.0"]
