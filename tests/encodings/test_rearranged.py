"""Rows taken out of a tensor against indexing of its decoded values, in every encoding and order."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from honed.encodings.base import Encoded
from honed.encodings.dense import Dense, MappedDense, float32_to_bfloat16
from honed.encodings.gguf_blocks import GgufBlocks
from honed.encodings.gguf_formats import FORMATS
from honed.encodings.int4 import Int4
from honed.encodings.int8 import Int8
from honed.encodings.rearranged import AddedDense, RowRuns, matrix_of, rearranged

ROWS, WIDTH = 24, 64


def floats(*shape: int, seed: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def blocks(values: NDArray[np.float32], kind: str = "Q8_0") -> GgufBlocks:
    data = gguf.quants.quantize(values, gguf.GGMLQuantizationType[kind])
    return GgufBlocks(FORMATS[int(gguf.GGMLQuantizationType[kind])], data.reshape(-1).view(np.uint8), values.shape)


def encodings() -> dict[str, Encoded]:
    values, rng = floats(ROWS, WIDTH), np.random.default_rng(4)
    bits = float32_to_bfloat16(values)
    codes, halves = rng.integers(-127, 128, (ROWS, WIDTH), np.int8), floats(ROWS, 2).astype(np.float16)
    return {
        "float32": Dense(values, "float32"),
        "mapped": MappedDense(memoryview(bits.tobytes()), "bfloat16", (ROWS, WIDTH)),
        "vector": MappedDense(memoryview(values[:, 0].tobytes()), "float32", (ROWS,)),
        "int8": Int8(codes, floats(ROWS), None),
        "int8 groups": Int8(codes, halves, 32),
        "int4": Int4(codes.view(np.uint8) & np.uint8(15), halves, codes[:, :2].view(np.uint8) & np.uint8(15), 32),
        "gguf": blocks(values),
        "gguf reordered": GgufBlocks(blocks(values).format, blocks(values).data, (ROWS, WIDTH), rng.permutation(ROWS)),
    }


ENCODINGS = encodings()


@st.composite
def runs(draw: st.DrawFn, rows: int = ROWS) -> RowRuns:
    length = draw(st.integers(1, 6))
    stride = draw(st.integers(length, 8))
    count = draw(st.integers(1, 1 + (rows - length) // stride))
    first = draw(st.integers(0, rows - (count - 1) * stride - length))
    return RowRuns(first, length, count, stride)


@given(asked=runs(), name=st.sampled_from(sorted(ENCODINGS)), start=st.integers(0, 5), stop=st.integers(0, 30))
def test_rows_are_those_of_the_tensor(asked: RowRuns, name: str, start: int, stop: int) -> None:
    weight = ENCODINGS[name]
    numbers = [asked.first + run * asked.stride + row for run in range(asked.count) for row in range(asked.length)]
    assert asked.numbers().tolist() == numbers
    assert asked.end == numbers[-1] + 1
    found = rearranged(weight, asked)
    assert found.kind == weight.kind
    assert found.shape == (len(numbers), *weight.shape[1:])
    assert np.array_equal(found.decode(), weight.decode()[numbers])
    assert np.array_equal(found.decode(slice(start, stop)), weight.decode()[numbers][start:stop])


@given(asked=runs(WIDTH), name=st.sampled_from(sorted(ENCODINGS.keys() - {"vector"})), stop=st.integers(0, 30))
def test_columns_are_rows_of_what_lies_transposed(asked: RowRuns, name: str, stop: int) -> None:
    weight = ENCODINGS[name]
    found = rearranged(weight, asked, transposed=True)
    expected = weight.decode().T[asked.numbers()]
    assert found.shape == expected.shape
    assert np.array_equal(found.decode(), expected)
    assert np.array_equal(found.decode(slice(1, stop)), expected[1:stop])
    assert isinstance(found, Dense)
    assert np.array_equal(found.part(slice(1, stop)).decode(), expected[1:stop])
    assert found.values.flags.c_contiguous


def test_a_whole_tensor_is_itself_and_rows_together_stay_mapped() -> None:
    mapped = ENCODINGS["mapped"]
    assert rearranged(mapped, None) is mapped
    assert rearranged(mapped, RowRuns(0, ROWS)) is mapped
    part = rearranged(mapped, RowRuns(8, 5))
    assert isinstance(part, MappedDense)
    assert isinstance(mapped, MappedDense)
    assert part.stored.obj is mapped.stored.obj
    whole = blocks(floats(ROWS, WIDTH))
    taken = rearranged(whole, RowRuns(3, 4))
    assert isinstance(taken, GgufBlocks)
    assert np.shares_memory(taken.data, whole.data)


def test_rows_that_are_not_there_are_refused() -> None:
    for transposed, end in ((False, ROWS), (True, WIDTH)):
        with pytest.raises(TypeError, match=f"rows up to {end + 1} are not in a weight"):
            rearranged(ENCODINGS["float32"], RowRuns(1, end), transposed=transposed)
    with pytest.raises(TypeError, match="cannot lie transposed"):
        rearranged(Dense(floats(4, 5, 6), "float32"), RowRuns(0, 2), transposed=True)


def test_what_is_added_is_added_in_float32() -> None:
    norm = Dense(float32_to_bfloat16(floats(ROWS)), "bfloat16")
    added = AddedDense(norm, 1.0)
    assert (added.shape, added.dtype, added.nbytes) == ((ROWS,), "float32", 4 * ROWS)
    assert np.array_equal(added.decode(slice(2, 9)), norm.decode()[2:9] + np.float32(1))
    assert np.array_equal(added.values, added.decode())
    assert np.array_equal(added.part(slice(2, 9)).values, added.values[2:9])


def test_a_matrix_of_several() -> None:
    values = floats(3, 8, WIDTH)
    held: list[Encoded] = [
        Dense(values, "float32"),
        MappedDense(memoryview(values.tobytes()), "float32", values.shape),
        blocks(values),
    ]
    for weight in held:
        for number in range(3):
            matrix = matrix_of(weight, number)
            assert matrix.shape == (8, WIDTH)
            assert np.allclose(matrix.decode(), values[number], atol=0.03)
    assert isinstance(matrix_of(held[1], 1), MappedDense)
