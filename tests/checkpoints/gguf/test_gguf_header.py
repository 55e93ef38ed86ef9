"""The GGUF header: what the gguf package writes is read back, malformed files are refused fast and in little memory."""

from __future__ import annotations

import functools
import random
import struct
import time
import tracemalloc
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gguf_builder import RawFile, pair, small_file, tensor, text
from honed.checkpoints.gguf.header import Header, parse_header
from honed.checkpoints.gguf.metadata import Numbers, Strings
from honed.errors import FormatError, UnsupportedError

PATH = Path("model.gguf")
HUGE = (2**31, 2**32, 2**63, 2**64 - 1)
ARCHITECTURE = pair("general.architecture", 8, "llama")


def parse(data: bytes) -> Header:
    return parse_header(memoryview(data), PATH)


def parse_bounded(data: bytes) -> Header | Exception:
    """The header or the error, within a second and 100 MB; any exception but the expected two passes through."""
    tracemalloc.start()
    begun = time.perf_counter()
    try:
        return parse(data)
    except (FormatError, UnsupportedError) as error:
        return error
    finally:
        seconds, peak = time.perf_counter() - begun, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert seconds < 1.0
        assert peak < 100e6


def test_reads_every_kind_of_value() -> None:
    header = parse(small_file().bytes())
    meta = header.metadata
    assert header.version == 3
    assert meta.text("general.architecture") == "llama"
    assert [meta.integer(f"scalar.{kind}") for kind in (0, 1, 2, 3, 4, 5, 10, 11)] == [1] * 8
    assert [meta.number(f"scalar.{kind}") for kind in (6, 12)] == [1.0, 1.0]
    assert meta.flag("scalar.7") is True
    assert meta.texts("tokenizer.ggml.tokens") == ["a", "b", "Ġthe", ""]
    types = meta.integers("tokenizer.ggml.token_type")
    assert types is not None
    assert types.tolist() == [1, 1, 3, -1]
    assert [(e.name, e.format.name, e.shape, e.nbytes) for e in header.tensors.values()] == [
        ("a", "Q8_0", (2, 32), 68),
        ("b", "F32", (3,), 12),
    ]


@pytest.mark.parametrize("version", [2, 3])
def test_versions(version: int) -> None:
    assert parse(RawFile([ARCHITECTURE], version=version).bytes()).version == version


@functools.cache
def malformed() -> dict[str, RawFile]:
    """Name: file. Sizes and counts that lie, at the borders where integers wrap."""
    good = tensor("t", [32], 0, 0)
    cases = {
        "magic": RawFile(magic=b"GGML"),
        "empty key": RawFile([pair("", 4, 1)]),
        "key with control characters": RawFile([pair("a\x1b[2Jb", 4, 1)]),
        "key not UTF-8": RawFile([pair(b"\xff\xfe", 4, 1)]),
        "long key": RawFile([pair("k" * 70000, 4, 1)]),
        "text not UTF-8": RawFile([pair("k", 8, text(b"\xc3\x28"))]),
        "long text": RawFile([pair("k", 8, text(bytes(17 << 20)))]),
        "duplicate key": RawFile([ARCHITECTURE, ARCHITECTURE]),
        "kind of value": RawFile([pair("k", 13, b"\0" * 8)]),
        "bool of 2": RawFile([pair("k", 7, 2)]),
        "kind of element": RawFile([pair("k", 9, struct.pack("<IQ", 77, 1) + bytes(64))]),
        "long array": RawFile([pair("k", 9, struct.pack("<IQ", 0, 5 << 20) + bytes(5 << 20))]),
        "tensor name": RawFile(tensors=[tensor("", [32], 0, 0)], data=bytes(128)),
        "long tensor name": RawFile(tensors=[tensor("n" * 65, [32], 0, 0)], data=bytes(128)),
        "duplicate tensor": RawFile(tensors=[good, tensor("t", [32], 0, 128)], data=bytes(256)),
        "overlap": RawFile(tensors=[good, tensor("u", [32], 0, 96)], data=bytes(256)),
        "same place": RawFile(tensors=[good, tensor("u", [32], 0, 0)], data=bytes(256)),
        "offset not aligned": RawFile(tensors=[tensor("t", [32], 0, 4)], data=bytes(256)),
        "outside": RawFile(tensors=[tensor("t", [32], 0, 160)], data=bytes(256)),
        "no data": RawFile(tensors=[good]),
        "half a block": RawFile(tensors=[tensor("t", [48], 8, 0)], data=bytes(256)),
        "no dimensions": RawFile(tensors=[tensor("t", [], 0, 0)], data=bytes(256)),
        "zero dimension": RawFile(tensors=[tensor("t", [32, 0], 0, 0)], data=bytes(256)),
        "five dimensions": RawFile(tensors=[tensor("t", [2, 2, 2, 2, 2], 0, 0)], data=bytes(256)),
        "alignment is a text": RawFile([pair("general.alignment", 8, "32")]),
    }
    for value in (0, 3, 4, 33, 2**31):
        cases[f"alignment {value}"] = RawFile([pair("general.alignment", 4, value)], [good], bytes(256))
    for value in HUGE:
        cases[f"tensor count {value}"] = RawFile(tensor_count=value)
        cases[f"pair count {value}"] = RawFile([ARCHITECTURE], pair_count=value)
        cases[f"key length {value}"] = RawFile([struct.pack("<Q", value) + b"key"], pair_count=1)
        cases[f"text length {value}"] = RawFile([pair("k", 8, struct.pack("<Q", value) + b"text")])
        cases[f"element length {value}"] = RawFile([pair("k", 9, struct.pack("<IQQ", 8, 1, value) + b"text")])
        cases[f"name length {value}"] = RawFile(tensors=[struct.pack("<Q", value) + b"name"], tensor_count=1)
        cases[f"offset {value}"] = RawFile(tensors=[tensor("t", [32], 0, value // 32 * 32)], data=bytes(256))
        for kind in (0, 8, 10):
            lie = struct.pack("<IQ", kind, value) + bytes(64)
            cases[f"array of {kind}, length {value}"] = RawFile([pair("k", 9, lie)])
        for shape in ([value], [32, value], [value, value], [value] * 4):
            cases[f"dimensions {shape}"] = RawFile(tensors=[tensor("t", shape, 0, 0)], data=bytes(256))
        cases[f"count of dimensions {value}"] = RawFile(
            tensors=[tensor("t", [32], 0, 0, dimensions=value & 0xFFFFFFFF)], data=bytes(256)
        )
    return cases


@pytest.mark.parametrize("name", malformed())
def test_malformed_is_refused(name: str) -> None:
    error = parse_bounded(malformed()[name].bytes())
    assert isinstance(error, FormatError), error
    assert str(error).startswith("model.gguf: ")
    assert str(error).isprintable()


@pytest.mark.parametrize(
    ("kind", "shown"), [(9, "Q8_1"), (40, "NVFP4"), (24, "I8"), (4, "number 4"), (2**32 - 1, "number")]
)
def test_unsupported_type_names_the_tensor(kind: int, shown: str) -> None:
    with pytest.raises(UnsupportedError, match=f"tensor t: type {shown}"):
        parse(RawFile(tensors=[tensor("t", [256], kind, 0)], data=bytes(1024)).bytes())


@pytest.mark.parametrize("version", [0, 1, 4, 0x03000000, 2**32 - 1])
def test_unsupported_version(version: int) -> None:
    with pytest.raises(UnsupportedError, match="GGUF version"):
        parse(RawFile(version=version).bytes())


def test_arrays_of_arrays_are_refused() -> None:
    nested = struct.pack("<IQ", 9, 1) * 5000
    with pytest.raises(UnsupportedError, match="k: arrays of arrays"):
        parse(RawFile([pair("k", 9, nested)]).bytes())


def test_alignment_of_the_file_is_used() -> None:
    file = RawFile([pair("general.alignment", 4, 128)], [tensor("t", [4], 0, 128)], bytes(160), alignment=128)
    assert parse(file.bytes()).tensors["t"].start % 128 == 0


def test_truncation_at_every_byte_of_the_header() -> None:
    file = small_file()
    whole = file.bytes()
    for length in range(len(file.header()) + 1):
        with pytest.raises(FormatError):
            parse(whole[:length])
    with pytest.raises(FormatError, match="b: offset"):
        parse(whole[:-1])


def test_a_thousand_bit_flips() -> None:
    file = small_file()
    whole, size = file.bytes(), len(file.header())
    rng = random.Random(20)
    refused = 0
    for _ in range(1000):
        data = bytearray(whole)
        data[rng.randrange(size)] ^= 1 << rng.randrange(8)
        result = parse_bounded(bytes(data))
        refused += isinstance(result, Exception)
        if isinstance(result, Header):
            for entry in result.tensors.values():
                assert entry.start + entry.nbytes <= len(data)
    assert refused > 300  # the others hit a value or a name, which stays well formed


@settings(deadline=None, max_examples=100, derandomize=True)
@given(st.data())
def test_mutations_raise_nothing_unexpected(data: st.DataObject) -> None:
    """Splices of the file into itself and runs of chosen bytes: beyond what single flips reach."""
    raw = bytearray(small_file().bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(raw)))
        if data.draw(st.booleans()):
            raw[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=40))
        else:
            start = data.draw(st.integers(0, len(raw)))
            raw[at:at] = raw[start : start + data.draw(st.integers(0, 60))]
    result = parse_bounded(bytes(raw))
    if isinstance(result, Header):
        assert all(entry.start + entry.nbytes <= len(raw) for entry in result.tensors.values())


KEYS = st.from_regex(r"[a-z]{1,8}(\.[a-z_]{1,8}){0,3}", fullmatch=True)
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.booleans(),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=30),  # the writer leaves empty ones out
    st.integers(-(2**31), 2**31 - 1),
    st.floats(width=32, allow_nan=False),
    st.lists(st.text(st.characters(codec="utf-8"), max_size=8), min_size=1, max_size=8),
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=8),
)
TENSORS = st.dictionaries(KEYS, st.lists(st.integers(1, 5), min_size=1, max_size=4), max_size=5)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.dictionaries(KEYS, VALUES, max_size=8), TENSORS, st.sampled_from([8, 32, 256]))
def test_reads_what_the_gguf_package_wrote(
    tmp_path_factory: pytest.TempPathFactory, pairs: dict[str, Any], shapes: dict[str, list[int]], alignment: int
) -> None:
    path = tmp_path_factory.mktemp("round") / "made.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_custom_alignment(alignment)
    for key, value in pairs.items():
        add = {bool: writer.add_bool, str: writer.add_string, int: writer.add_int32, float: writer.add_float32}
        add.get(type(value), writer.add_array)(key, value)
    arrays = {name: np.arange(np.prod(shape), dtype=np.float32).reshape(shape) for name, shape in shapes.items()}
    for name, array in arrays.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    data = path.read_bytes()
    header = parse(data)
    assert set(header.metadata.values) == {"general.architecture", "general.alignment", *pairs}
    for key, value in pairs.items():
        read = header.metadata.values[key]
        if isinstance(read, Strings):
            assert header.metadata.texts(key) == value
        elif isinstance(read, Numbers):
            found = header.metadata.integers(key)
            assert found is not None
            assert found.tolist() == value
        else:
            assert read == value
    assert list(header.tensors) == list(arrays)
    for name, array in arrays.items():
        entry = header.tensors[name]
        assert entry.shape == array.shape
        stored = np.frombuffer(data, "<f4", count=array.size, offset=entry.start)
        assert np.array_equal(stored, array.reshape(-1))
