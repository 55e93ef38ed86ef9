"""Arrays that start anywhere, sizes that no machine has, limits of the system: an answer or an error, never a crash.

That an array at an odd address gives the right numbers is seen here; that no access is misaligned, which x86 forgives,
is seen by running this under the sanitizers (`make sanitize-python`), as is arithmetic that overflows before a refusal.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from native_plans import executor, ints, matmul_plan, native, run_step
from numpy.typing import NDArray

from honed.backends.base import RowChoice

HUGE = [2**61, 2**62 - 1, 2**62, 2**62 + 31, 2**63 - 128, 2**63 - 1]


def shifted(array: NDArray[Any], shift: int = 1) -> NDArray[Any]:
    """The same values, starting `shift` bytes behind an address that fits any type."""
    room = np.zeros(array.nbytes + 80, np.uint8)
    begin = -room.ctypes.data % 64 + shift
    room[begin : begin + array.nbytes] = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
    moved: NDArray[Any] = room[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    assert shift % array.itemsize == 0 or not moved.flags.aligned
    return moved


def as_it_is(array: NDArray[Any]) -> NDArray[Any]:
    return array


Place = Callable[[NDArray[Any]], NDArray[Any]]
RNG = np.random.default_rng(3)
FLOATS = RNG.standard_normal((33, 70)).astype(np.float32)
CODES = RNG.integers(0, 16, (33, 70)).astype(np.uint8)
SCALES = RNG.random((33, 3)).astype(np.float16)


def dense(place: Place, dtype: str) -> Any:
    values: NDArray[Any] = FLOATS
    if dtype == "float16":
        values = FLOATS.astype(np.float16)
    elif dtype == "bfloat16":
        values = (FLOATS.view(np.uint32) >> 16).astype(np.uint16)
    builder = native.DenseBuilder(33, 70, "bfloat16")
    builder.place(place(values), dtype, 0, 1)
    return builder.finish()


def int8(place: Place, group: int | None) -> Any:
    builder = native.Int8Builder(33, 70, group)
    scales = FLOATS[:, 0].copy() if group is None else SCALES
    builder.place(place(CODES.astype(np.int8)), place(scales), 0, 1)
    return builder.finish()


def int4(place: Place, offset: str) -> Any:
    builder = native.Int4Builder(33, 70, 32, offset)
    offsets = {"symmetric": None, "zero_point": SCALES.astype(np.uint8), "minimum": SCALES}[offset]
    builder.place(place(CODES), place(SCALES), None if offsets is None else place(offsets), 0, 1)
    return builder.finish()


def codebook(place: Place) -> Any:
    builder = native.CodebookBuilder(33, 70, 32, place(np.arange(-8, 8, dtype=np.int8)))
    builder.place(place(CODES), place(SCALES), 0, 1)
    return builder.finish()


def blocks(place: Place) -> Any:
    builder = native.BlocksBuilder(4, 256, "Q4_K")
    codes, factors = RNG.integers(0, 16, (4, 256)).astype(np.uint8), np.ones((4, 1), np.float16)
    levels = np.full((4, 16), 5, np.uint8)
    builder.place(place(codes * 0 + 3), place(factors), place(factors * 2), place(levels), 0, 1)
    return builder.finish()


def prepacked_int8(place: Place) -> Any:
    packed = int8(as_it_is, None)
    return native.prepacked_int8(33, 70, None, shifted(packed.data, 0), place(packed.column_scales))


MAKERS: dict[str, Callable[[Place], Any]] = {
    "dense float32": lambda place: dense(place, "float32"),
    "dense float16": lambda place: dense(place, "float16"),
    "dense bfloat16": lambda place: dense(place, "bfloat16"),
    "int8": lambda place: int8(place, None),
    "int8 groups": lambda place: int8(place, 32),
    "int4 zero points": lambda place: int4(place, "zero_point"),
    "int4 minimums": lambda place: int4(place, "minimum"),
    "codebook": codebook,
    "blocks": blocks,
    "prepacked": prepacked_int8,
    "vector": lambda place: native.vector(place(FLOATS[0].copy())),
    "table": lambda place: native.table(place(FLOATS), "float32"),
}


@pytest.mark.parametrize("name", MAKERS)
def test_weights_from_arrays_at_odd_addresses(name: str) -> None:
    right, moved = MAKERS[name](as_it_is), MAKERS[name](shifted)
    np.testing.assert_array_equal(moved.data, right.data)
    np.testing.assert_array_equal(moved.column_scales, right.column_scales)


@pytest.mark.parametrize("which", range(5))
@pytest.mark.parametrize("shift", [1, 2, 3])
def test_a_batch_at_odd_addresses(which: int, shift: int) -> None:
    x = FLOATS[:5, :8].copy()
    builder = native.DenseBuilder(8, 8, "float32")
    builder.place(np.eye(8, dtype=np.float32), "float32", 0, 1)
    runner = executor(matmul_plan(x, builder.finish(), columns=8, quantized=False))
    batch = [ints([4, 2]), ints([0, 1]), ints([0, 0]), ints([0]).reshape(1, 1), ints([0, 1])]
    expected = run_step(runner, *batch)
    batch[which] = shifted(batch[which], shift)
    np.testing.assert_array_equal(run_step(runner, *batch), expected)
    runner.compute({"tokens": batch[0]}, *batch[1:])
    assert runner.choose([RowChoice()] * 2) == (expected.argmax(axis=1).tolist(), {})


@pytest.mark.parametrize("size", HUGE)
@pytest.mark.parametrize(
    "make",
    [
        lambda n, k: native.DenseBuilder(n, k, "float32"),
        lambda n, k: native.Int8Builder(n, k, None),
        lambda n, k: native.Int8Builder(n, k, 128),
        lambda n, k: native.Int4Builder(n, k, 128, "minimum"),
        lambda n, k: native.CodebookBuilder(n, k, 64, np.zeros(16, np.int8)),
        lambda n, k: native.BlocksBuilder(n, k, "Q6_K"),
        lambda n, k: native.prepacked_dense(n, k, "float32", np.zeros(64, np.uint8)),
        lambda n, k: native.prepacked_int8(n, k, 32, np.zeros(64, np.uint8), np.zeros(0, np.float32)),
        lambda n, k: native.prepacked_int4(n, k, 32, "symmetric", np.zeros(64, np.uint8)),
        lambda n, k: native.prepacked_codebook(n, k, 32, np.zeros(16, np.int8), np.zeros(64, np.uint8)),
        lambda n, k: native.prepacked_blocks(n, k, "Q4_K", np.zeros(64, np.uint8)),
    ],
    ids=["dense", "int8", "int8-groups", "int4", "codebook", "blocks", "pre-f", "pre-8", "pre-4", "pre-c", "pre-b"],
)
def test_sizes_that_overflow_are_refused(make: Callable[[int, int], object], size: int) -> None:
    for n, k in ((size, size), (size, 256), (256, size), (-size, 256), (256, -size)):
        with pytest.raises(ValueError, match=r"builder: [nk] = "):
            make(n, k)


@pytest.mark.parametrize("size", [*HUGE, -(2**62), -1])
def test_widths_of_block_tables_that_overflow_are_refused(size: int) -> None:
    for kind in ("Q4_0", "Q8_0", "Q6_K"):
        with pytest.raises(ValueError, match=r"width|data\.shape"):
            native.block_table(np.zeros((2, 34), np.uint8), kind, size)


def test_page_tables_without_columns_are_counted() -> None:
    x = FLOATS[:5, :8].copy()
    builder = native.DenseBuilder(8, 8, "float32")
    runner = executor(matmul_plan(x, builder.finish(), columns=8, quantized=False))
    with pytest.raises(ValueError, match="page_tables"):
        run_step(runner, ints([0]), ints([0]), ints([0]), np.zeros((2**40, 0), np.int32), ints([0]))


FEW = """
import resource, sys
sys.path[:0] = sys.argv[1:]
import numpy as np
from honed.native import extension
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (100 << 20), -1))
def refused(kind, what, call):
    try:
        call()
    except kind as error:
        assert what in str(error), error
        return
    sys.exit(f"{kind} expected of {what}")
for make in (
    lambda: extension.DenseBuilder(64, 64, "float32", 300),
    lambda: extension.Int8Builder(64, 64, 32, 300),
    lambda: extension.measure_integer_peak(300, 0.1),
    lambda: extension.measure_read_bandwidth(300, 1, 0.1),
):
    refused(RuntimeError, "threads = 300: the system gives this process", make)
refused(MemoryError, "", lambda: extension.DenseBuilder(1 << 20, 1 << 10, "float32"))
refused(MemoryError, "", lambda: extension.Cache([(8, 128, 128)] * 8, [1 << 16]))
refused(MemoryError, "", lambda: extension.Int8Builder(1 << 24, 1 << 24, 32))
two = extension.DenseBuilder(64, 64, "float32", 2)  # what fits still works, threads and all
two.place(np.ones((64, 64), np.float32), "float32", 0, 1)
assert two.finish().nbytes == 64 * 64 * 4
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are enforced by Linux")
def test_threads_and_memory_that_the_system_refuses() -> None:
    command = [sys.executable, "-c", FEW, *(entry for entry in sys.path if entry)]
    done = subprocess.run(command, check=False, timeout=120, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
