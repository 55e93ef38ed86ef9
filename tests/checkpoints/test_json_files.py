"""JSON from strangers: sizes, floods, duplicates, depth, numbers, surrogates."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.checkpoints.json_files import (
    CONFIG_BYTES,
    MAX_BYTES,
    MAX_DEPTH,
    MAX_VALUES,
    parse_object,
    read_bytes,
    read_list,
    read_object,
    read_text,
)
from honed.errors import FormatError, SourceError
from honed.notes import HonedWarning

PATH = Path("x.json")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=20,
)


def test_a_list(tmp_path: Path) -> None:
    path = tmp_path / "modules.json"
    path.write_text('[{"idx": 0}, 2]')
    assert read_list(path) == [{"idx": 0}, 2]
    path.write_text('{"idx": 0}')
    with pytest.raises(FormatError, match="JSON: must be a list, not dict"):
        read_list(path)
    path.write_text("[" * (MAX_DEPTH + 1))
    with pytest.raises(FormatError, match="nested too deeply"):
        read_list(path)


def test_objects() -> None:
    assert parse_object('{"a": [1, {"b": null}], "c": "ü"}', PATH, "JSON") == {"a": [1, {"b": None}], "c": "ü"}


@settings(deadline=None, derandomize=True)
@given(st.dictionaries(st.text(st.characters(codec="utf-8")), VALUES), st.booleans())
def test_whatever_json_holds_is_read(value: dict[str, Any], ascii_only: bool) -> None:
    assert parse_object(json.dumps(value, ensure_ascii=ascii_only), PATH, "JSON") == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON: Expecting value"),
        ("[1]", "must be an object, not list"),
        ("null", "must be an object, not NoneType"),
        ('{"a": 1, "b": 2, "a": 3}', "the name 'a' appears twice"),
        ('{"x": {"\\u001b": 1, "\\u001b": 1}}', r"the name '\\x1b' appears twice"),
        ('{"a":' * 200_000, "is nested too deeply"),
        ('{"a":' + "9" * 5000 + "}", "holds a number of 5000 digits, must be at most 300"),
        ('{"a":-' + "9" * 400 + "}", "holds a number of 401 digits"),
        ('{"a": "\\ud800"}', r"holds \\ud800, half of a surrogate pair"),
        ('{"\\\\\\udfffx": 1}', r"holds \\udfff, half of a surrogate pair"),
        ('{"a": "\\ude00\\ud83d"}', r"holds \\ude00, half of a surrogate pair"),
    ],
)
def test_malformed(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=f"x.json: config: {message}"):
        parse_object(text, PATH, "config")


def test_whole_pairs_and_escaped_backslashes_are_characters() -> None:
    assert parse_object('{"a": "\\ud83d\\ude00 \\\\ud800"}', PATH, "JSON") == {"a": "\U0001f600 \\ud800"}


def test_numbers_that_python_writes() -> None:
    found = parse_object('{"a": 1e999, "b": Infinity, "c": NaN, "d": ' + "9" * 300 + "}", PATH, "JSON")
    assert found["a"] == found["b"] == float("inf")
    assert found["d"] == 10**300 - 1


def test_a_name_given_twice_can_be_noted() -> None:
    with pytest.warns(HonedWarning, match="x.json: JSON: the name 'a' appears twice; the last one counts"):
        assert parse_object('{"a": 1, "a": 2}', PATH, "JSON", duplicates="note") == {"a": 2}


@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"b":', "}"), ("[[1],", "]")])
def test_depth(begin: str, end: str) -> None:
    strings = ', "c": "' + "[{" * 500 + '\\"[\\\\"'  # brackets in a text are none

    def nested(levels: int) -> str:
        return '{"a": ' + begin * levels + "[]" + end * levels + strings + "}"

    assert parse_object(nested(MAX_DEPTH - 2), PATH, "JSON")["c"].endswith('"[\\')
    with pytest.raises(FormatError, match="is nested too deeply, must be at most 64 levels"):
        parse_object(nested(MAX_DEPTH - 1), PATH, "JSON")


FLOODS = {
    "lists": '{"a":[' + "[]," * (MAX_BYTES // 3),
    "objects": '{"a":[' + "{}," * (MAX_BYTES // 3),
    "numbers": '{"a":[' + "1," * (MAX_BYTES // 2),
    "members": "{" + '"":1,' * (MAX_BYTES // 5),
    "nesting": "[" * MAX_BYTES,
    "quotes": '{"a":[' + "[]" * 100 + '"' * MAX_BYTES,
    "escapes": '{"a":[' + "[]" * 100 + '"' + '\\"' * (MAX_BYTES // 2),
    "surrogates": '{"a":"' + "\\ud83d\\ude00" * (MAX_BYTES // 12) + "\\ud83d",
}


@pytest.mark.parametrize("name", FLOODS)
def test_floods_are_refused_before_they_are_parsed(name: str) -> None:
    begun = time.process_time()
    with pytest.raises(FormatError):
        parse_object(FLOODS[name], PATH, "JSON")
    assert time.process_time() - begun < 1


def test_the_largest_index_is_read() -> None:
    tensors = {
        f"model.layers.{i}.mlp.experts.{i}.down_proj.weight_scale_inv": "model-00001.safetensors" for i in range(90_000)
    }
    text = json.dumps({"weight_map": tensors})
    assert len(text) < MAX_BYTES
    assert parse_object(text, PATH, "JSON")["weight_map"] == tensors
    with pytest.raises(FormatError, match=f"holds too many values, must be at most {MAX_VALUES // 10}"):
        parse_object(text, PATH, "JSON", values=MAX_VALUES // 10)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(SourceError, match=r"x.json: cannot be read: No such file"):
        read_object(path)
    path.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(FormatError, match="encoding: is not UTF-8 at byte 7"):
        read_text(path)
    path.write_bytes(b"\xef\xbb\xbf{}")  # as Notepad writes it
    assert read_object(path) == {}
    path.write_text("{}")
    assert read_object(path) == {}
    assert read_bytes(path, 2) == b"{}"
    with pytest.raises(FormatError, match="size: is 2 bytes, must be at most 1"):
        read_bytes(path, 1)
    with path.open("r+b") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(FormatError, match="size: is 10485761 bytes"):
        read_object(path)
    with pytest.raises(FormatError, match=f"must be at most {CONFIG_BYTES}"):
        read_object(path, CONFIG_BYTES)


def test_pointers_are_named(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n")
    with pytest.raises(SourceError, match=r"tokenizer\.json: is a Git LFS pointer"):
        read_object(path)
