"""The safetensors reader against the safetensors package, and malformed files."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.checkpoints.safetensors.reader import MAX_HEADER, SafetensorsFile, parse_header
from honed.errors import FormatError, SourceError, UnsupportedError
from safetensors_builder import entry, raw_file

PATH = Path("m.safetensors")
WORDS = st.text(st.characters(codec="utf-8"), max_size=5)
DTYPES = ("float32", "float16", "int8", "uint8", "int32", "int64")


def opened(data: bytes) -> SafetensorsFile:
    return SafetensorsFile(PATH, memoryview(data))


@settings(deadline=None, max_examples=80, derandomize=True)
@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,6}(\.[a-z]{1,6}){0,2}", fullmatch=True),
        st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 4), max_size=3)),
        min_size=1,  # without tensors the package writes a header that is not JSON
        max_size=6,
    ),
    st.dictionaries(WORDS, WORDS),
)
def test_reads_what_the_package_wrote(tensors: dict[str, tuple[str, list[int]]], metadata: dict[str, str]) -> None:
    rng = np.random.default_rng(0)
    arrays = {name: rng.integers(0, 100, size=shape).astype(dtype) for name, (dtype, shape) in tensors.items()}
    file = opened(safetensors.numpy.save(arrays, metadata))
    assert set(file.entries) == set(arrays)
    assert file.metadata == metadata
    for name, array in arrays.items():
        read = file.tensor(name)
        assert (read.dtype, read.shape) == (array.dtype, array.shape)
        assert np.array_equal(read, array)


def test_bfloat16_is_its_bits() -> None:
    import torch
    from safetensors.torch import save

    values = torch.randn(5, 3).to(torch.bfloat16)
    read = opened(save({"w": values})).tensor("w")
    assert read.dtype == np.uint16
    assert np.array_equal(read, values.view(torch.uint16).numpy())


def test_tensors_are_mapped_and_read_only(tmp_path: Path) -> None:
    array = np.arange(1 << 20, dtype=np.float32)
    safetensors.numpy.save_file({"w": array}, tmp_path / "m.safetensors")
    tracemalloc.start()
    read = SafetensorsFile(tmp_path / "m.safetensors").tensor("w")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert np.array_equal(read, array)
    assert not read.flags.writeable


def test_data_that_is_not_aligned_is_read() -> None:
    header = '{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    for pad in range(4):
        data = np.array([1.5, -2.0], np.float32).tobytes()
        read = opened(raw_file(header + " " * pad, data)).tensor("w")
        assert read.tolist() == [1.5, -2.0]
        assert read.flags.aligned


@pytest.mark.parametrize(("dtype", "size"), [("F8_E4M3", 1), ("F8_E5M2", 1), ("F64", 8), ("BOOL", 1), ("U16", 2)])
def test_types_that_are_not_read_are_refused_by_name(dtype: str, size: int) -> None:
    header = {"a": entry("F32", [1], 0, 4), "w": entry(dtype, [2], 4, 4 + 2 * size)}
    file = opened(raw_file(header, bytes(4 + 2 * size)))
    assert file.tensor("a").tolist() == [0.0]
    with pytest.raises(UnsupportedError, match=f"tensor w: type {dtype} is not supported"):
        file.tensor("w")


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
        opened(MALFORMED[name])
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
    assert set(opened(whole).entries) == {"a", "b"}
    for length in range(len(whole)):
        with pytest.raises(FormatError):
            opened(whole[:length])


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


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        SafetensorsFile(tmp_path / "no.safetensors")
