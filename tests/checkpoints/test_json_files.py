"""JSON from strangers: sizes, duplicates, depth."""

from __future__ import annotations

from pathlib import Path

import pytest

from honed.checkpoints.json_files import MAX_BYTES, parse_object, read_bytes, read_object, read_text
from honed.errors import FormatError, SourceError

PATH = Path("x.json")


def test_objects() -> None:
    assert parse_object('{"a": [1, {"b": null}], "c": "ü"}', PATH, "JSON") == {"a": [1, {"b": None}], "c": "ü"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON: Expecting value"),
        ("[1]", "must be an object, not list"),
        ("null", "must be an object, not NoneType"),
        ('{"a": 1, "b": 2, "a": 3}', "the name 'a' appears twice"),
        ('{"x": {"\\u001b": 1, "\\u001b": 1}}', r"the name '\\x1b' appears twice"),
        ('{"a":' * 200_000, "is nested too deeply"),
        ('{"a":' + "9" * 5000 + "}", "is not JSON: Exceeds the limit"),
    ],
)
def test_malformed(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=f"x.json: config: {message}"):
        parse_object(text, PATH, "config")


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(SourceError, match=r"x.json: cannot be read: No such file"):
        read_object(path)
    path.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(FormatError, match="encoding: is not UTF-8 at byte 7"):
        read_text(path)
    path.write_text("{}")
    assert read_object(path) == {}
    assert read_bytes(path, 2) == b"{}"
    with pytest.raises(FormatError, match="size: is over 1 bytes"):
        read_bytes(path, 1)
    with path.open("r+b") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(FormatError, match="size: is over"):
        read_object(path)
