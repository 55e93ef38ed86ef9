"""Types of the native extension. Imported through `honed.native` only.

Arrays must be C-contiguous and of exactly the named type; nothing is converted silently. Where a `memoryview` is
taken too, it is one of that type and shape, as `memoryview.cast` makes it. Bad values raise
ValueError, wrong types TypeError; none of the functions may crash the process for any input.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

PAGE_TOKENS: int
PANEL_COLUMNS: int
LAYOUT_VERSION: int

Bytes = NDArray[np.uint8] | memoryview
Int32s = NDArray[np.int32] | memoryview

class Weight:
    """An opaque weight that a plan can refer to."""

    @property
    def kind(self) -> str: ...  # vector, table, dense_f32, dense_bf16, int8, int4, blocks, codebook
    @property
    def nbytes(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def columns(self) -> int: ...
    @property
    def data(self) -> NDArray[np.uint8]:
        """Its bytes as kernels read them, without the column scales: panels, a vector or a table. A read-only view."""
    @property
    def column_scales(self) -> NDArray[np.float32]:
        """Of int8 with one scale a column, in packed order; else empty. A read-only view."""

def vector(values: NDArray[np.float32] | memoryview[float]) -> Weight:
    """Copies a vector (norm weight, bias in packed order, inverse frequencies)."""

def table(values: NDArray[Any] | memoryview, dtype: Literal["float32", "bfloat16", "float16"]) -> Weight:
    """Borrows a matrix [rows, width] for row look-ups; a mapped file stays mapped. bfloat16 is uint16 bits."""

def block_table(data: NDArray[np.uint8], type_name: str, width: int) -> Weight:
    """Borrows the blocks of a GGUF file, [rows, bytes of a row], for row look-ups: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K,
    Q5_K or Q6_K."""

# Builders of packed matrices with n columns (output features; padded to panels of 32 with zeros) and depth k.
# `place` puts the rows of a weight at packed columns: row r of the array goes to packed column
#     first_column + (r // 16) * 16 * tile_step + r % 16
# so tile_step 1 with a running first_column concatenates (q, k, v), and tile_step 2 with first_column 0 and 16
# interleaves gate and up. Each packed column may be placed once; columns never placed are zero.
# The work is spread over `threads`, and the GIL is released.
class DenseBuilder:
    def __init__(self, n: int, k: int, dtype: Literal["float32", "bfloat16"], threads: int = 1) -> None: ...
    def place(
        self,
        values: NDArray[Any],
        dtype: Literal["float32", "bfloat16", "float16"],
        first_column: int,
        tile_step: int,
    ) -> None:
        """Converts to the builder's type (float32 to bfloat16 rounds to nearest even)."""
    def finish(self) -> Weight: ...

class Int8Builder:
    def __init__(self, n: int, k: int, group: int | None, threads: int = 1) -> None: ...
    def place(
        self,
        codes: NDArray[np.int8],
        scales: NDArray[np.float32] | NDArray[np.float16],
        first_column: int,
        tile_step: int,
    ) -> None:
        """group None: float32 scales [rows]; else float16 [rows, ceil(k / group)], and code -128 may occur."""
    def finish(self) -> Weight: ...

class Int4Builder:
    def __init__(
        self,
        n: int,
        k: int,
        group: int,
        offset: Literal["symmetric", "zero_point", "minimum"],
        threads: int = 1,
    ) -> None: ...
    def place(
        self,
        codes: NDArray[np.uint8],
        scales: NDArray[np.float16],
        offsets: NDArray[np.uint8] | NDArray[np.float16] | None,
        first_column: int,
        tile_step: int,
    ) -> None:
        """codes [rows, k], one code 0..15 a byte; scales, offsets [rows, ceil(k / group)]."""
    def finish(self) -> Weight: ...

class CodebookBuilder:
    """4-bit indices of `codebook`, sixteen int8 values."""

    def __init__(self, n: int, k: int, group: int, codebook: NDArray[np.int8], threads: int = 1) -> None: ...
    def place(self, codes: NDArray[np.uint8], scales: NDArray[np.float16], first_column: int, tile_step: int) -> None:
        """codes [rows, k], one index a byte; scales [rows, ceil(k / group)]."""
    def finish(self) -> Weight: ...

class BlocksBuilder:
    """GGUF blocks whose scales are products (BlockForm in native/cpu/kernel_table.h)."""

    def __init__(
        self, n: int, k: int, type_name: Literal["Q4_K", "Q5_K", "Q5_1", "Q6_K"], threads: int = 1
    ) -> None: ...
    def place(
        self,
        codes: NDArray[np.uint8],
        d: NDArray[np.float16],
        m: NDArray[np.float16] | None,
        levels: NDArray[np.uint8] | None,
        first_column: int,
        tile_step: int,
    ) -> None:
        """codes [rows, k], of Q6_K 32 more than its values; d and m (not Q6_K) [rows, super-blocks]; levels (not Q5_1)
        [rows, k / 32 * 2]: of each 32 inputs scale and minimum, of Q6_K the int8 scales of the first and second 16."""
    def finish(self) -> Weight: ...

# Matrices whose panels were packed before, by a builder of the same arguments and the same LAYOUT_VERSION: the panels
# are borrowed and stay mapped. They must start at a multiple of 64 bytes and have exactly the builder's size.
def prepacked_dense(n: int, k: int, dtype: Literal["float32", "bfloat16"], panels: Bytes) -> Weight: ...
def prepacked_int8(
    n: int, k: int, group: int | None, panels: Bytes, column_scales: NDArray[np.float32] | memoryview[float]
) -> Weight: ...
def prepacked_int4(
    n: int,
    k: int,
    group: int,
    offset: Literal["symmetric", "zero_point", "minimum"],
    panels: Bytes,
) -> Weight: ...
def prepacked_codebook(
    n: int, k: int, group: int, codebook: NDArray[np.int8] | memoryview, panels: Bytes
) -> Weight: ...
def prepacked_blocks(n: int, k: int, type_name: Literal["Q4_K", "Q5_K", "Q5_1", "Q6_K"], panels: Bytes) -> Weight: ...

class Op:
    """One record of native/plan/op.h, which says what each field means."""

    def __init__(
        self,
        code: str,  # the names of OpCode
        input: int = 0,  # noqa: A002
        output: int = 0,
        weights: list[int] = ...,  # up to 3, missing ones are none
        sizes: list[int] = ...,  # up to 5
        scalars: list[float] = ...,  # up to 2
    ) -> None: ...

class Slot:
    def __init__(
        self,
        kind: Literal["f32", "quantized"],
        rows: Literal["tokens", "selected"],
        width: int,
        activation_group: int,  # quantized: 0 for one scale a row
        stretch: int,
    ) -> None: ...

class Plan:
    """Validated when made: ValueError names op, field, value and what would be right."""

    def __init__(
        self,
        ops: list[Op],
        slots: list[Slot],
        weights: list[Weight],
        layers: int,
        kv_heads: int,
        head_dim: int,
        vocabulary: int,
        logits: int,
    ) -> None: ...
    @property
    def weight_bytes(self) -> int: ...

class Cache:
    """KV pages of all layers; memory is taken from the system at first touch."""

    def __init__(
        self,
        layers: int,
        kv_heads: int,
        head_dim: int,
        pages: int,
        dtype: Literal["float32", "bfloat16", "int8"] = "float32",
    ) -> None: ...
    @property
    def dtype(self) -> Literal["float32", "bfloat16", "int8"]: ...
    @property
    def pages(self) -> int: ...
    @property
    def page_bytes(self) -> int: ...

class Executor:
    def __init__(
        self, plan: Plan, cache: Cache, max_tokens: int, max_selected: int, threads: int, isa: str | None = None
    ) -> None: ...
    @property
    def isa(self) -> str: ...
    @property
    def threads(self) -> int: ...
    @property
    def arena_bytes(self) -> int: ...
    def run(
        self,
        tokens: NDArray[np.int32],
        positions: NDArray[np.int32],
        sequences: NDArray[np.int32],
        page_tables: NDArray[np.int32],
        selected: NDArray[np.int32],
    ) -> NDArray[np.float32]:
        """Logits [R, logits]; a fresh array. Every index is checked before anything runs. The GIL is released."""
    def run_greedy(
        self,
        tokens: Int32s,
        positions: Int32s,
        sequences: Int32s,
        page_tables: Int32s,
        selected: Int32s,
    ) -> list[int] | None:
        """Column of the greatest logit of each selected row, the first among equals; the logits are not copied out.
        None where a row has logits that are not finite: `run` gives them. Checks and GIL as `run`."""
    def timings(self) -> list[tuple[str, float]]:
        """(op code, seconds) of each op of the last run, when profiling is on."""
    def set_profiling(self, on: bool) -> None: ...

def features() -> dict[str, Any]:
    """Instruction sets found (cpuid and xgetbv), cores, caches, CPUs allowed by affinity and cgroup quota."""

def isas() -> list[str]:
    """Sets that are compiled in and that this machine runs, best first; portable is last and always there."""

def default_threads() -> int:
    """CPUs allowed by affinity and by the cgroup quota (rounded down, at least one)."""

def measure_read_bandwidth(threads: int, mebibytes: int, seconds: float, isa: str | None = None) -> float:
    """Bytes a second read by `threads` from a buffer of that size, the best pass of those that fit the time."""

def measure_integer_peak(threads: int, seconds: float, isa: str | None = None) -> float:
    """int8 operations (two a multiply-add) a second from registers."""
