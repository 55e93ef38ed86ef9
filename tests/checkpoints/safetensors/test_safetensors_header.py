"""Headers of safetensors files: what the package refuses too, and floods, in bounded time and memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import safetensors
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.checkpoints.safetensors.header import MAX_HEADER, MAX_TENSORS, Entry, parse_header
from honed.errors import FormatError, SourceError
from safetensors_builder import entry, raw_file

PATH = Path("m.safetensors")


def parsed(data: bytes) -> dict[str, Entry]:
    return parse_header(memoryview(data), PATH)[0]


GOOD = entry("F32", [2], 0, 8)
WRONG_OFFSETS: list[Any] = [
    [0],
    [8, 0],
    [0, 8, 8],
    ["0", "8"],
    [0.0, 8.0],
    [-8, 0],
    [True, 8],
    None,
    [2**64, 2**64 + 8],
]
MALFORMED: dict[str, bytes] = {
    "empty": b"",
    "seven bytes": bytes(7),
    "header over the limit": raw_file("{}", length=MAX_HEADER + 1),
    "header of 2^64 - 1": raw_file("{}", length=2**64 - 1),
    "header longer than the file": raw_file("{}", length=3),
    "no header": raw_file(b""),
    "an array": raw_file("[]"),
    "not JSON": raw_file("{nothing}"),
    "cut off": raw_file('{"a":'),
    "two objects": raw_file("{}{}"),
    "not UTF-8": raw_file(b'{"\xff":{}}'),
    "deep": raw_file('{"a":' * 200_000),
    "deep arrays": raw_file('{"a":' + "[" * 200_000),
    "long number": raw_file('{"a":{"dtype":"F32","shape":[' + "9" * 5000 + '],"data_offsets":[0,8]}}', bytes(8)),
    "duplicate name": raw_file(f'{{"a":{json.dumps(GOOD)},"a":{json.dumps(GOOD)}}}', bytes(8)),
    "duplicate field": raw_file('{"a":{"dtype":"F32","dtype":"I32","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
    "name with control characters": raw_file({"a\x1b[2J": GOOD}, bytes(8)),
    "metadata is a list": raw_file({"__metadata__": [], "a": GOOD}, bytes(8)),
    "metadata of numbers": raw_file({"__metadata__": {"a": 1}, "a": GOOD}, bytes(8)),
    "entry is a list": raw_file({"a": [1]}, bytes(8)),
    "field missing": raw_file({"a": {"dtype": "F32", "shape": [2]}}, bytes(8)),
    "field too many": raw_file({"a": GOOD | {"x": 1}}, bytes(8)),
    "unknown type": raw_file({"a": GOOD | {"dtype": "F33"}}, bytes(8)),
    "type is a number": raw_file({"a": GOOD | {"dtype": 5}}, bytes(8)),
    "type is a list": raw_file({"a": GOOD | {"dtype": ["F32"]}}, bytes(8)),
    "shape is a number": raw_file({"a": GOOD | {"shape": 2}}, bytes(8)),
    "negative extents": raw_file({"a": GOOD | {"shape": [-1, -2]}}, bytes(8)),
    "extent is true": raw_file({"a": GOOD | {"shape": [True, 2]}}, bytes(8)),
    "extent is a float": raw_file({"a": GOOD | {"shape": [2.0]}}, bytes(8)),
    "shape disagrees": raw_file({"a": entry("F32", [3], 0, 8)}, bytes(8)),
    "type disagrees": raw_file({"a": entry("F16", [2], 0, 8)}, bytes(8)),
    "half a byte": raw_file({"a": entry("F4", [3], 0, 1)}, bytes(1)),
    "product that wraps": raw_file({"a": entry("F32", [2**32, 2**32], 0, 0)}),
    "huge extents": raw_file({"a": entry("F32", [2**62] * 50, 0, 8)}, bytes(8)),
    "overlap": raw_file({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 4, 12)}, bytes(12)),
    "same bytes": raw_file({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 0, 8)}, bytes(8)),
    "gap": raw_file({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 12, 20)}, bytes(20)),
    "begins late": raw_file({"a": entry("F32", [2], 4, 12)}, bytes(12)),
    "outside": raw_file({"a": GOOD}, bytes(7)),
    "far outside": raw_file({"a": entry("F32", [2**61], 0, 2**63 - 8)}, bytes(8)),
    "bytes after the last": raw_file({"a": GOOD}, bytes(9)),
    "bytes without tensors": raw_file({}, bytes(1)),
    **{f"offsets {value}": raw_file({"a": GOOD | {"data_offsets": value}}, bytes(8)) for value in WRONG_OFFSETS},
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_is_refused(name: str) -> None:
    tracemalloc.start()
    begun = time.perf_counter()
    with pytest.raises(FormatError) as caught:
        parsed(MALFORMED[name])
    assert time.perf_counter() - begun < 1.0
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()
    assert str(caught.value).startswith("m.safetensors: ")
    assert str(caught.value).isprintable()


# Leniencies of the package: it takes the last of two equal names and fields that it does not know.
LENIENT = {"duplicate name", "duplicate field", "field too many", "name with control characters"}


@pytest.mark.parametrize("name", sorted(set(MALFORMED) - LENIENT))
def test_the_package_refuses_the_same(name: str) -> None:
    with pytest.raises(safetensors.SafetensorError):
        safetensors.deserialize(MALFORMED[name])  # type: ignore[no-untyped-call]


def test_truncation_at_every_byte() -> None:
    whole = raw_file({"a": GOOD, "b": entry("I8", [3], 8, 11)}, bytes(11))
    assert set(parsed(whole)) == {"a", "b"}
    for length in range(len(whole)):
        with pytest.raises(FormatError):
            parsed(whole[:length])


@settings(deadline=None, max_examples=100, derandomize=True)
@given(st.data())
def test_mutations_agree_with_the_package(data: st.DataObject) -> None:
    """Whatever is accepted here, the package accepts too."""
    raw = bytearray(raw_file({"a": GOOD, "b": entry("I8", [3], 8, 11), "__metadata__": {"k": "v"}}, bytes(11)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.one_of(st.binary(max_size=3), st.sampled_from([b"0", b"9", b"-", b"[", b'"', b",", b"8]"]))
        )
    try:
        entries, _ = parse_header(memoryview(raw), PATH)
    except FormatError:
        return
    listed = safetensors.deserialize(bytes(raw))  # type: ignore[no-untyped-call]
    assert set(entries) == {name for name, _ in listed}


def test_order_of_fields_spaces_and_escapes() -> None:
    metadata = r"""{ "a\u00e9" : "}{" , "b":"" }"""
    entry = """{ "shape":[ 2 ], "data_offsets" : [0,8],\n"dtype":"F32"}"""
    text = f"""{{"__metadata__" : {metadata} , "x\\u002e\\"y" :\n{entry} }}  """
    entries, found = parse_header(memoryview(raw_file(text, bytes(8))), PATH)
    assert found == {"aé": "}{", "b": ""}
    assert {name: (it.dtype, it.shape, it.nbytes) for name, it in entries.items()} == {'x."y': ("F32", (2,), 8)}
    assert parse_header(memoryview(raw_file("{ }  ")), PATH) == ({}, {})


@pytest.mark.parametrize(
    ("begin", "what"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n",
            r"Git LFS pointer.*of 12345 bytes",
        ),
        (b"<!DOCTYPE html><html>", "is a web page"),
    ],
)
def test_files_that_stand_for_others(begin: bytes, what: str) -> None:
    with pytest.raises(SourceError, match=what):
        parsed(begin)


def tensors(count: int, *, end: str = "") -> str:
    entries = (f'"{i:x}":{{"dtype":"U8","shape":[1],"data_offsets":[{i},{i + 1}]}}' for i in range(count))
    return "{" + ",".join(entries) + end + "}"


# Header and what is said of it; each is written to a file and parsed in a process of its own.
FLOODS = {
    "lists in an entry": ('\'{"a":{"dtype":"F32","shape":[\' + "[]," * 3_000_000', "must be an object of dtype"),
    "lists as an entry": ('\'{"a":[\' + "[]," * 3_000_000', "must be an object of dtype"),
    "objects in metadata": ('\'{"__metadata__":{"a":\' + \'{"a":{}},\' * 1_000_000', "must be an object of strings"),
    "texts in metadata": (
        '\'{"__metadata__":{\' + ",".join(f\'"{i}":""\' for i in range(800_000))',
        "must be an object of strings",
    ),
    "a wide metadata": ('\'{"__metadata__":{"a":"\' + "\\\\ud83d\\\\ude00" * 800_000', "header: is not JSON"),
    "spaces": ('"{" + " " * 10_000_000 + "x"', "header: is not JSON"),
    "wrong at the end": ('tensors(MAX_TENSORS, end=",")', "header: is not JSON"),
    "does not cover": ("tensors(MAX_TENSORS)", "bytes are missing"),
    "too many": ("tensors(MAX_TENSORS + 1)", "holds more than 100000 tensors"),
    "over the limit": ('"{" + " " * (1 << 24)', "must be at most"),
}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", FLOODS)
def test_floods_take_under_a_second_and_100_mb(name: str, tmp_path: Path) -> None:
    made, said = FLOODS[name]
    path = tmp_path / "m.safetensors"
    path.write_bytes(raw_file(eval(made)))
    program = f"""
import resource, time
from pathlib import Path
from honed.checkpoints.safetensors.reader import SafetensorsFile
from honed.errors import FormatError
def peak():
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmHWM"))
before, begun = peak(), time.process_time()
try:
    SafetensorsFile(Path({str(path)!r}))
except FormatError as error:
    print(error)
print(time.process_time() - begun, (peak() - before) / 1000)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    message, figures = done.stdout.splitlines()
    assert said in message
    seconds, megabytes = map(float, figures.split())
    assert megabytes < 100
    assert seconds < 5  # a second where nothing else runs


def test_the_largest_header_is_read() -> None:
    assert len(parsed(raw_file(tensors(MAX_TENSORS), bytes(MAX_TENSORS)))) == MAX_TENSORS
