"""YAML as JSON could say it: values of the core schema, bounded, and nothing that stands for something else."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from honed.checkpoints.yaml_files import MAX_BYTES, read_yaml_object, to_yaml
from honed.errors import FormatError, SourceError


def read(tmp_path: Path, text: str) -> dict[str, Any]:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    return read_yaml_object(path, values=1000)


def test_plain_values_are_those_of_the_core_schema(tmp_path: Path) -> None:
    text = "a: 1e-3\nb: no\nc: 12:30\nd: ~\ne: true\nf: -4\ng: .5\nh: 2001-01-01\ni: '7'\nj: [x, null, 0o7]\nk: on\n"
    assert read(tmp_path, text) == {
        "a": 1e-3,
        "b": "no",
        "c": "12:30",
        "d": None,
        "e": True,
        "f": -4,
        "g": 0.5,
        "h": "2001-01-01",
        "i": "7",
        "j": ["x", None, "0o7"],
        "k": "on",
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: &x [1]\nb: *x", r"alias \(\*x\)"),
        ("a: !!python/object:os.system [x]", "has the tag"),
        ("a: !!binary aGk=", "has the tag"),
        ("a: 1\na: 2", "'a' appears twice"),
        ("b: {c: 1, c: 2}", "'c' appears twice"),
        ("1: 2", "no text at line 1"),
        ("? [a]\n: 1", "no text at line 1"),
        ("a: 1\n---\nb: 2", "several documents"),
        ("- 1", "must be an object, not list"),
        ("", "must be an object, not NoneType"),
        ("a: [1", "malformed at line"),
        ("a: b: c", "malformed at line 1"),
        ("\ta: 1", "malformed at line 1"),
        ("a: " + "[" * 70 + "]" * 70, "nested too deeply"),
        ("a: [" + "1," * 2000 + "]", "too many values"),
        ("a: \x01", "malformed"),
    ],
)
def test_what_is_refused_is_named(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(FormatError, match=rf"a\.yaml: YAML: .*{problem}"):
        read(tmp_path, text)


def test_files_that_are_large_or_none(tmp_path: Path) -> None:
    with pytest.raises(FormatError):
        read(tmp_path, "a: " + "x" * MAX_BYTES)
    with pytest.raises(SourceError):
        read_yaml_object(tmp_path / "none.yaml", values=10)


def test_a_full_file_is_read_in_bounded_time(tmp_path: Path) -> None:
    line = "- {modules: model.layers.0.mlp.up_proj, setting: dense}\n"
    text = "overrides:\n" + line * ((MAX_BYTES - 20) // len(line))
    began = time.process_time()
    path = tmp_path / "a.yaml"
    path.write_text(text)
    assert len(read_yaml_object(path, values=50_000)["overrides"]) > 1000
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    "value", ["1e-3", "1e5", "no", "~", "", "2001-01-01", "12:30", "-.5", "true", "*.down", "a: b", "é"]
)
def test_what_is_written_reads_back(tmp_path: Path, value: str) -> None:
    given = {"text": value, "number": 1e-7, "whole": 3, "none": None, "yes": True, "list": [{"a": 0.5}]}
    assert read(tmp_path, to_yaml(given)) == given
