"""Typed access to metadata: missing keys are None, wrong types errors that show what is there."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from honed.checkpoints.gguf.cursor import MemoryBytes
from honed.checkpoints.gguf.metadata import Metadata, Numbers, Strings, Text
from honed.errors import FormatError

META = Metadata(
    Path("m.gguf"),
    {
        "i": 5,
        "f": 2.5,
        "b": True,
        "s": "text",
        "ss": Strings(2, 0),
        "ii": Numbers(2, 19, np.dtype("<u2")),
        "ff": Numbers(1, 23, np.dtype("<f4")),
        "bb": Numbers(2, 27, np.dtype(np.bool_)),
        "long": Text(2, 8),
    },
    MemoryBytes(memoryview(b"\2\0\0\0\0\0\0\0ab\1\0\0\0\0\0\0\0c" + b"\1\0\2\1" + struct.pack("<f", 0.5) + b"\3\0")),
)


def test_values() -> None:
    assert META.integer("i") == 5
    assert (META.number("i"), META.number("f")) == (5.0, 2.5)
    assert META.flag("b") is True
    assert (META.text("s"), META.text("long")) == ("text", "ab")
    assert META.texts("ss") == ["ab", "c"]
    integers, numbers = META.integers("ii"), META.numbers("ff")
    assert integers is not None
    assert numbers is not None
    assert integers.tolist() == [1, 0x102]
    assert numbers.tolist() == [0.5]
    flags = META.flags("bb")
    assert flags is not None
    assert flags.tolist() == [True, False]
    assert [META.is_array(key) for key in ("ss", "ii", "long", "i", "none")] == [True, True, False, False, False]
    assert [META.length(key) for key in ("ss", "ii", "none")] == [2, 2, None]


@pytest.mark.parametrize(
    "get", ["integer", "number", "flag", "text", "texts", "integers", "numbers", "flags", "length"]
)
def test_missing(get: str) -> None:
    assert getattr(META, get)("none") is None


@pytest.mark.parametrize(
    ("get", "keys", "message"),
    [
        ("integer", "f b s ss ii long", "must be an integer"),
        ("number", "b s ss ii", "must be a number"),
        ("flag", "i f s ss bb", "must be a bool"),
        ("text", "i f b ss ii", "must be a string"),
        ("texts", "i s ii", "must be an array of strings"),
        ("integers", "i s ss ff bb", "must be an array of integers"),
        ("numbers", "f s ss bb", "must be an array of numbers"),
        ("flags", "b s ss ii ff", "must be an array of bools"),
        ("length", "i s long", "must be an array"),
    ],
)
def test_wrong_types(get: str, keys: str, message: str) -> None:
    for key in keys.split():
        with pytest.raises(FormatError, match=f"m.gguf: {key}: is .*, {message}"):
            getattr(META, get)(key)
