"""The safetensors reader against the safetensors package."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.checkpoints.safetensors.reader import SafetensorsFile
from honed.errors import SourceError, UnsupportedError
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


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        SafetensorsFile(tmp_path / "no.safetensors")
