"""Weights and builders: what they refuse, and that nothing they are given crashes the process."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_plans import executor, matmul_plan, native, op, run_all_rows, step_plan
from numpy.typing import NDArray

from honed.encodings.int8 import Int8

Pair = tuple[int, int]


class Bytes(np.ndarray[Any, np.dtype[np.uint8]]):
    """Bytes that can be referred to weakly."""


class Values(np.ndarray[Any, np.dtype[np.float32]]):
    """An array that can be referred to weakly."""


def test_properties() -> None:
    builder = native.DenseBuilder(33, 10, "bfloat16")
    builder.place(np.zeros((33, 10), np.float32), "float32", 0, 1)
    weight = builder.finish()
    assert (weight.kind, weight.rows, weight.columns, weight.nbytes) == ("dense_bf16", 64, 10, 64 * 10 * 2)
    vector = native.vector(np.ones(7, np.float32))
    assert (vector.kind, vector.rows, vector.nbytes) == ("vector", 7, 28)
    table = native.table(np.zeros((5, 3), np.uint16), "bfloat16")
    assert (table.kind, table.rows, table.columns, table.nbytes) == ("table", 5, 3, 30)


def test_integer_sizes_are_as_the_layout_says() -> None:
    assert native.Int8Builder(32, 65, None).finish().nbytes == 128 * 32 + 32 * 4
    assert native.Int8Builder(32, 65, 64).finish().nbytes == 2 * (64 * 32 + 64)
    assert native.Int4Builder(32, 65, 32, "symmetric").finish().nbytes == 3 * (512 + 64)
    assert native.Int4Builder(32, 65, 32, "zero_point").finish().nbytes == 3 * (512 + 64 + 32)
    assert native.Int4Builder(32, 65, 64, "minimum").finish().nbytes == 2 * (1024 + 64 + 64)


def aligned(data: NDArray[np.uint8], shift: int = 0) -> NDArray[np.uint8]:
    """A copy that starts `shift` bytes behind a multiple of 64."""
    room = np.zeros(len(data) + 128, np.uint8)
    begin = -room.ctypes.data % 64 + shift
    room[begin : begin + len(data)] = data
    return room[begin : begin + len(data)]


def test_panels_packed_before_have_the_size_of_the_builder() -> None:
    dense = native.DenseBuilder(33, 10, "float32").finish()
    again = native.prepacked_dense(33, 10, "float32", aligned(dense.data))
    assert (again.kind, again.rows, again.columns, again.nbytes) == ("dense_f32", 64, 10, dense.nbytes)
    int8 = native.Int8Builder(32, 65, None).finish()
    assert native.prepacked_int8(32, 65, None, aligned(int8.data), int8.column_scales).nbytes == int8.nbytes
    grouped = native.Int8Builder(32, 65, 64).finish()
    assert native.prepacked_int8(32, 65, 64, aligned(grouped.data), grouped.column_scales).nbytes == grouped.nbytes
    int4 = native.Int4Builder(32, 65, 64, "minimum").finish()
    assert native.prepacked_int4(32, 65, 64, "minimum", aligned(int4.data)).nbytes == int4.nbytes
    with pytest.raises(ValueError, match="address of panels"):
        native.prepacked_int4(32, 65, 64, "minimum", aligned(int4.data, 4))
    with pytest.raises(ValueError, match="bytes of panels"):
        native.prepacked_int4(32, 65, 64, "symmetric", aligned(int4.data))
    with pytest.raises(ValueError, match="bytes of panels"):
        native.prepacked_dense(33, 10, "float32", aligned(dense.data)[:-1])
    with pytest.raises(ValueError, match="column scales"):
        native.prepacked_int8(32, 65, None, aligned(int8.data), int8.column_scales[:-1])
    with pytest.raises(ValueError, match="group"):
        native.prepacked_int8(32, 65, 7, aligned(int8.data), int8.column_scales)
    with pytest.raises(ValueError, match="k = "):
        native.prepacked_dense(33, 0, "float32", aligned(dense.data))


def test_borrowed_panels_and_views_keep_their_memory_alive() -> None:
    builder = native.DenseBuilder(32, 8, "float32")
    builder.place(np.eye(32, 8, dtype=np.float32), "float32", 0, 1)
    view = builder.finish().data
    gc.collect()
    assert view.view(np.float32).sum() == 8
    assert not view.flags.writeable
    panels = aligned(view).view(Bytes)
    alive = weakref.ref(panels)
    weight = native.prepacked_dense(32, 8, "float32", panels)
    del panels
    gc.collect()
    assert alive() is not None
    del weight
    gc.collect()
    assert alive() is None


def test_a_table_keeps_its_array_alive() -> None:
    values = np.ones((40, 8), np.float32).view(Values)
    alive = weakref.ref(values)
    table = native.table(values, "float32")
    del values
    gc.collect()
    assert alive() is not None
    del table
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize("group", [None, 32], ids=["per column", "groups"])
def test_packed_columns_are_looked_up_as_rows(group: int | None) -> None:
    chance = np.random.default_rng(3)
    codes = chance.integers(-127, 128, (40, 72)).astype(np.int8)
    scales = chance.random(40, np.float32) if group is None else chance.random((40, 3)).astype(np.float16)
    factors = np.exp2(chance.integers(-9, 10, 72)).astype(np.float32)
    builder = native.Int8Builder(40, 72, group)
    builder.place(codes, scales, 0, 1)
    slots = [native.Slot("f32", "tokens", 72, 0, 0), native.Slot("f32", "selected", 72, 0, 1)]
    ops = [
        op("embed_packed", ids=0, output=0, matrix=0, factors=1, width=72),
        op("select", input=0, output=1, width=72),
    ]
    plan = step_plan(ops, slots, [builder.finish(), native.vector(factors)], vocabulary=40, output=1)
    expected = Int8(codes, scales, group).decode() * factors
    for threads in (1, 2):
        np.testing.assert_array_equal(run_all_rows(executor(plan, threads=threads), 40), expected)


def test_a_table_that_the_file_does_not_align() -> None:
    data = bytearray(1 + 4 * 32 * 8)
    values = np.frombuffer(data, dtype=np.float32, offset=1, count=32 * 8).reshape(32, 8)
    values[:] = np.arange(256).reshape(32, 8)
    matrix = native.DenseBuilder(8, 8, "float32")
    matrix.place(np.eye(8, dtype=np.float32), "float32", 0, 1)
    slots = [native.Slot("f32", "tokens", 8, 0, 0), native.Slot("f32", "selected", 8, 0, 1)]
    ops = [op("embed", output=0, table=0, width=8), op("select", input=0, output=1, width=8)]
    plan = step_plan(ops, slots, [native.table(values, "float32")], vocabulary=32, output=1)
    np.testing.assert_array_equal(run_all_rows(executor(plan), 32), values)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: native.vector(np.ones(3, np.float64)), TypeError, "element type"),
        (lambda: native.vector(np.ones(3, np.int32)), TypeError, "must be float32, not int32"),
        (lambda: native.vector(np.ones((3, 1), np.float32)), ValueError, "must have 1"),
        (lambda: native.vector(np.ones(6, np.float32)[::2]), TypeError, "C-contiguous"),
        (lambda: native.vector(np.ones(0, np.float32)), ValueError, "vector length = 0"),
        (lambda: native.vector([1.0, 2.0]), TypeError, "incompatible"),
        (lambda: native.vector(None), TypeError, "incompatible"),
        (lambda: native.table(np.ones((2, 3), np.float32).T, "float32"), TypeError, "C-contiguous"),
        (lambda: native.table(np.ones((2, 3), np.float32), "bfloat16"), TypeError, "must be uint16"),
        (lambda: native.table(np.ones((2, 3), np.float32), "float8"), ValueError, "must be one of float32"),
        (lambda: native.table(np.ones((0, 3), np.float32), "float32"), ValueError, "table rows = 0"),
        (lambda: native.DenseBuilder(0, 4, "float32"), ValueError, "n = 0"),
        (lambda: native.DenseBuilder(4, -1, "float32"), ValueError, "k = -1"),
        (lambda: native.DenseBuilder(4, 4, "float16"), ValueError, "must be one of float32, bfloat16"),
        (lambda: native.DenseBuilder(4, 4, "float32", 0), ValueError, "threads = 0"),
        (lambda: native.DenseBuilder(2**62, 4, "float32"), ValueError, "n = "),
        (lambda: native.DenseBuilder(2**70, 4, "float32"), TypeError, "incompatible"),
        (lambda: native.Int8Builder(4, 4, 0), ValueError, "group = 0"),
        (lambda: native.Int8Builder(4, 4, 48), ValueError, "group = 48"),
        (lambda: native.Int8Builder(4, 200_000, None), ValueError, "k = 200000"),
        (lambda: native.Int4Builder(4, 4, 16, "symmetric"), ValueError, "group = 16"),
        (lambda: native.Int4Builder(4, 4, 32, "none"), ValueError, "must be one of symmetric"),
        (native.Weight, TypeError, "no constructor"),
    ],
)
def test_refused(make: Callable[[], object], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()


def int8_builder() -> Any:
    return native.Int8Builder(20, 8, None)


def place(builder: Any, rows: int, first: int, step: int) -> None:
    builder.place(np.ones((rows, 8), np.int8), np.ones(rows, np.float32), first, step)


@pytest.mark.parametrize(
    ("rows", "first", "step", "match"),
    [
        (21, 0, 1, "rows placed = 21"),
        (0, 0, 1, "rows placed = 0"),
        (4, 17, 1, "column = 20: row 3"),
        (4, -1, 1, "first_column = -1"),
        (4, 2**40, 1, "first_column"),
        (4, 0, 0, "tile_step = 0"),
        (4, 0, 2**40, "tile_step"),
        (17, 0, 2, "column = 32"),
        (4, 14, 1, "already placed"),
    ],
)
def test_places_that_do_not_exist(rows: int, first: int, step: int, match: str) -> None:
    builder = int8_builder()
    place(builder, 1, 16, 1)
    with pytest.raises(ValueError, match=match):
        place(builder, rows, first, step)
    place(builder, 4, 0, 1)  # nothing was noted of the refused one


def test_finished_is_finished() -> None:
    builder = int8_builder()
    builder.finish()
    with pytest.raises(ValueError, match="already called"):
        builder.finish()
    with pytest.raises(ValueError, match="already called"):
        place(builder, 1, 0, 1)


def test_a_codebook_is_packed_as_int4_is() -> None:
    codes = np.random.default_rng(0).integers(0, 16, (33, 70)).astype(np.uint8)
    scales = np.ones((33, 3), np.float16)
    table = np.arange(-8, 8, dtype=np.int8)
    builder = native.CodebookBuilder(33, 70, 32, table)
    builder.place(codes, scales, 0, 1)
    weight = builder.finish()
    int4 = native.Int4Builder(33, 70, 32, "symmetric")
    int4.place(codes, scales, None, 0, 1)
    np.testing.assert_array_equal(weight.data, int4.finish().data)
    assert (weight.kind, weight.rows, weight.columns) == ("codebook", 64, 70)
    again = native.prepacked_codebook(33, 70, 32, table, aligned(weight.data))
    np.testing.assert_array_equal(again.data, weight.data)
    with pytest.raises(ValueError, match="codebook"):
        native.CodebookBuilder(33, 70, 32, table[:15])
    with pytest.raises(ValueError, match="from 0 to 15"):
        native.CodebookBuilder(33, 70, 32, table).place(codes + np.uint8(16), scales, 0, 1)
    with pytest.raises(ValueError, match="32, 64 or 128"):
        native.CodebookBuilder(33, 70, 48, table)


SIZES_OF_FORMS = [
    *[("Q4_K", 4736), ("Q5_K", 8832), ("Q5_1", 9216), ("Q6_K", 8768), ("Q2_K", 4736), ("Q3_K", 4672)],
    *[(name, 4416) for name in ("IQ4_XS", "IQ3_S", "IQ3_XXS", "IQ2_XXS", "IQ1_S")],
    *[(name, 4672) for name in ("IQ2_XS", "IQ2_S", "IQ1_M")],
]
NO_MINIMUM = ("Q6_K", "Q3_K", *(name for name, _ in SIZES_OF_FORMS if name.startswith("IQ")))
ONE_LEVEL = ("IQ4_XS", "IQ3_S", "IQ3_XXS", "IQ2_XXS", "IQ1_S")
BlockArrays = dict[str, NDArray[Any] | None]


def block_arrays(name: str, rows: int, k: int) -> BlockArrays:
    supers = k // (32 if name == "Q5_1" else 256)
    ones = np.ones((rows, supers), np.float16)
    return {
        "codes": np.ones((rows, k), np.uint8),
        "d": ones,
        "m": None if name in NO_MINIMUM else ones.copy(),
        "levels": None if name == "Q5_1" else np.ones((rows, k // (32 if name in ONE_LEVEL else 16)), np.uint8),
    }


@pytest.mark.parametrize(("name", "nbytes"), SIZES_OF_FORMS)
def test_super_blocks(name: Any, nbytes: int) -> None:
    builder = native.BlocksBuilder(32, 256, name)
    arrays: Any = block_arrays(name, 32, 256)
    builder.place(**arrays, first_column=0, tile_step=1)
    weight = builder.finish()
    assert (weight.kind, weight.rows, weight.columns, weight.nbytes) == ("blocks", 32, 256, nbytes)
    again = native.prepacked_blocks(32, 256, name, aligned(weight.data))
    np.testing.assert_array_equal(again.data, weight.data)
    with pytest.raises(ValueError, match="must be a multiple of"):
        native.BlocksBuilder(32, 24, name)


@pytest.mark.parametrize("name", [name for name, _ in SIZES_OF_FORMS])
def test_super_blocks_out_of_range(name: Any) -> None:
    largest = {"Q2_K": 15, "Q3_K": 15, "Q4_K": 15, "Q6_K": 63, "Q5_K": 31, "Q5_1": 31}.get(name, 5)
    largest = 15 if name in ("IQ4_XS", "IQ3_S", "IQ3_XXS") else largest
    has_minimum = name not in NO_MINIMUM

    def refuses(match: str, **changed: NDArray[Any] | None) -> None:
        arrays: Any = block_arrays(name, 2, 256) | changed
        with pytest.raises(ValueError, match=match):
            native.BlocksBuilder(32, 256, name).place(**arrays, first_column=0, tile_step=1)

    arrays = block_arrays(name, 2, 256)
    codes, d = arrays["codes"], arrays["d"]
    assert codes is not None
    assert d is not None
    codes[1, 200] = largest + 1
    refuses(rf"codes\[1\]: codes must be from 0 to {largest}", codes=codes)
    refuses("codes", codes=np.ones((2, 255), np.uint8))
    bad = d.copy()
    bad[1, -1] = np.inf
    refuses(r"d or m\[1\]: must be finite", d=bad)
    if has_minimum:
        refuses("finite", m=bad)
    refuses("m: required" if has_minimum else "m: ", m=None if has_minimum else d)
    refuses("levels: ", levels=np.ones((2, 16), np.uint8) if name == "Q5_1" else None)
    if name != "Q5_1":
        refuses("levels", levels=np.ones((2, 15), np.uint8))


def test_codes_and_scales_out_of_range() -> None:
    with pytest.raises(ValueError, match=r"codes\[1\] has -128"):
        int8_builder().place(np.array([[0] * 8, [-128] * 8], np.int8), np.ones(2, np.float32), 0, 1)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match=r"scales\[1\]: must be finite"):
            int8_builder().place(np.ones((2, 8), np.int8), np.array([1, bad], np.float32), 0, 1)
        with pytest.raises(ValueError, match="finite"):
            native.Int8Builder(4, 8, 32).place(np.ones((1, 8), np.int8), np.array([[bad]], np.float16), 0, 1)
        with pytest.raises(ValueError, match="finite"):
            codes, one = np.ones((1, 8), np.uint8), np.ones((1, 1), np.float16)
            native.Int4Builder(4, 8, 32, "minimum").place(codes, one, np.array([[bad]], np.float16), 0, 1)
    with pytest.raises(ValueError, match="from 0 to 15"):
        codes = np.full((1, 8), 16, np.uint8)
        native.Int4Builder(4, 8, 32, "symmetric").place(codes, np.ones((1, 1), np.float16), None, 0, 1)


@pytest.mark.parametrize("offset", ["symmetric", "zero_point", "minimum"])
def test_offsets_of_another_kind(offset: str) -> None:
    codes, scales = np.ones((2, 40), np.uint8), np.ones((2, 2), np.float16)
    right = {"symmetric": None, "zero_point": np.ones((2, 2), np.uint8), "minimum": scales}
    for name, offsets in right.items():
        builder = native.Int4Builder(4, 40, 32, offset)
        if name == offset:
            builder.place(codes, scales, offsets, 0, 1)
        else:
            with pytest.raises((ValueError, TypeError), match="offsets"):
                builder.place(codes, scales, offsets, 0, 1)


@settings(deadline=None, max_examples=100, derandomize=True)
@given(
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    codes=st.tuples(st.integers(0, 80), st.integers(0, 80)),
    scales=st.tuples(st.integers(0, 80), st.integers(0, 4)),
    place=st.tuples(st.integers(-5, 80), st.integers(-1, 4)),
    group=st.sampled_from([32, 64, 128]),
    fits=st.booleans(),
)
def test_any_placement_is_taken_whole_or_refused(
    *, size: Pair, codes: Pair, scales: Pair, place: Pair, group: int, fits: bool
) -> None:
    """Whatever is placed, the weight that comes out runs, and only placed columns are other than zero."""
    (n, k), (rows, width), (first, step) = size, codes, place
    if fits:  # or hardly any example would come through
        width, scales = k, (rows, -(-k // group))
    builder = native.Int8Builder(n, k, group)
    placed = True
    try:
        builder.place(np.ones((rows, width), np.int8), np.ones(scales, np.float16), first, step)
    except ValueError:
        placed = False
    plan = matmul_plan(np.full((1, k), 127, np.float32), builder.finish(), columns=n, quantized=True)
    result = run_all_rows(executor(plan), 1)[0]
    expected = np.zeros(n, np.float32)
    if placed:
        r = np.arange(rows)
        expected[first + r // 16 * 16 * step + r % 16] = 127 * k
    np.testing.assert_array_equal(result, expected)
