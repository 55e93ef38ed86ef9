"""Types of the native extension. Imported through `honed.native` only.

Arrays must be C-contiguous and of exactly the named type; nothing is converted silently. Where a `memoryview` is
taken too, it is one of that type and shape, as `memoryview.cast` makes it. Bad values raise
ValueError, wrong types TypeError; none of the functions may crash the process for any input.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

SuperBlockType = Literal[
    "Q2_K",
    "Q3_K",
    "Q4_K",
    "Q5_K",
    "Q5_1",
    "Q6_K",
    "IQ4_XS",
    "IQ3_S",
    "IQ3_XXS",
    "IQ2_XXS",
    "IQ1_S",
    "IQ2_XS",
    "IQ2_S",
    "IQ1_M",
]
PAGE_TOKENS: int
PANEL_COLUMNS: int
LAYOUT_VERSION: int
OPS: tuple[str, ...]
MATRIX_FORMATS: dict[str, tuple[bool, bool]]
"""Of each format of matrices: whether rows in front of it are quantized, and whether its rows can be looked up."""

Bytes = NDArray[np.uint8] | memoryview
Int32s = NDArray[np.int32] | memoryview

def watch_map(data: Bytes, name: str) -> int:
    """Has a fault of the system at an address within `data` (SIGBUS: the file was cut short, the disk is gone) reported
    as one line with `name`, and the process ended with status 1. Other faults go where they went before.

    The result is for `unwatch_map`; -1 where no more can be watched. `data` must stay mapped until then.
    """

def unwatch_map(number: int) -> None: ...

class Weight:
    """An opaque weight that a plan can refer to."""

    @property
    def kind(self) -> str: ...  # as in native/plan/weight_kinds.def
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
    """Borrows the blocks of a GGUF file, [rows, bytes of a row], for row look-ups: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K,
    Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL or IQ4_XS."""

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
        self,
        n: int,
        k: int,
        type_name: SuperBlockType,
        threads: int = 1,
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
        """codes [rows, k], of Q6_K 32 more than its values, of Q3_K 4; of IQ1 to IQ4 places of their values; d and m
        (not Q3_K, Q6_K, IQ1 to IQ4) [rows, super-blocks]; levels (not Q5_1) [rows, k / 32 * 2]: of each 32 inputs
        scale and minimum; of Q3_K, Q6_K, IQ1_M, IQ2_XS and IQ2_S the int8 scales of the first and second 16, of Q2_K
        scale | minimum << 4 of each; of the other IQ [rows, k / 32], int8."""
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
def prepacked_blocks(n: int, k: int, type_name: SuperBlockType, panels: Bytes) -> Weight: ...

class Slot:
    def __init__(
        self,
        kind: Literal["f32", "quantized", "routing"],
        rows: Literal["tokens", "selected", "sequences"],
        width: int,
        activation_group: int,  # quantized: 0 for one scale a row
        stretch: int,
        copies: int = 1,  # rows for each row of the space: one for each expert that it goes to
        experts: int = 0,  # routing: how many there are
    ) -> None: ...

class Input:
    """What a batch gives for each of its tokens."""

    @staticmethod
    def ids(name: str, bound: int) -> Input:
        """A number from 0 to below `bound`. The input named `positions` is the positions of the batch, not given
        again."""
    @staticmethod
    def floats(name: str, width: int) -> Input:
        """A row of floats."""

class Plan:
    """Validated when made: ValueError, or TypeError for a field of a wrong type, names op, field, value and what would
    be right.

    ops: the name of each, of OPS, and all of its fields, which are those that its file in native/executor/ops/ reads.
    outputs: names, and the slots whose rows `Executor.run` gives under them.
    caches: kv_heads, key_width and value_width of each.
    """

    def __init__(
        self,
        ops: Sequence[tuple[str, dict[str, int | float | str | tuple[int, ...] | None]]],
        slots: list[Slot],
        weights: list[Weight],
        inputs: list[Input],
        outputs: list[tuple[str, int]],
        caches: list[tuple[int, int, int]],
    ) -> None: ...
    @property
    def weight_bytes(self) -> int: ...

class Cache:
    """Pages of all caches of a plan; memory is taken from the system at first touch.

    shapes: kv_heads, key_width and value_width of each cache. groups: the group that each belongs to, None: all to one.
    pages: of each group. A page of a group has its positions in all caches of the group.
    """

    def __init__(
        self,
        shapes: list[tuple[int, int, int]],
        pages: list[int],
        dtype: Literal["float32", "bfloat16", "int8"] = "float32",
        groups: list[int] | None = None,
    ) -> None: ...
    @property
    def dtype(self) -> Literal["float32", "bfloat16", "int8"]: ...
    @property
    def pages(self) -> list[int]: ...
    @property
    def page_bytes(self) -> list[int]: ...

_Chosen = tuple[Any, ...]

class Executor:
    """cache: with the shapes of the plan's; None for a plan without caches, whose sequences are run whole, and counted
    from 0 in `sequences`."""

    def __init__(
        self,
        plan: Plan,
        cache: Cache | None,
        max_tokens: int,
        max_selected: int,
        threads: int,
        isa: str | None = None,
    ) -> None: ...
    @property
    def isa(self) -> str: ...
    @property
    def threads(self) -> int: ...
    @property
    def arena_bytes(self) -> int: ...
    def run(
        self,
        inputs: dict[str, NDArray[np.int32] | NDArray[np.float32]],
        positions: NDArray[np.int32],
        sequences: NDArray[np.int32],
        page_tables: NDArray[np.int32] | None,
        selected: NDArray[np.int32] | None,
    ) -> dict[str, NDArray[np.float32]]:
        """The rows of each output, [rows, its width], fresh arrays.

        inputs: those of the plan by name, ids int32 [T], floats float32 [T, width]. page_tables: [sequences, pages],
        the same for all groups of the cache, or [groups, sequences, pages]; None for a plan without caches. selected:
        None for one without selected rows. Every index is checked before anything runs. The GIL is released."""
    def compute(
        self,
        inputs: dict[str, Int32s] | dict[str, NDArray[np.float32]],
        positions: Int32s,
        sequences: Int32s,
        page_tables: Int32s | None,
        selected: Int32s | None,
    ) -> None:
        """`run` for a plan with one output, of selected rows: they are kept as logits for `choose`. Checks and GIL as
        `run`."""
    def choose(self, rows: Sequence[Any]) -> tuple[list[int], dict[int, _Chosen]]:
        """The token of each row of the last `compute`, chosen as `rows` say: objects with the fields of
        `honed.backends.base.RowChoice`. Beside the tokens, by row, what there is to say of one: (logprob, top, rank)
        where logprobs were asked for, or why there is no token (it is -1 then): ("not finite", how many, the first
        place, its value), ("none allowed",), ("bad token", field, token). The GIL is released, and taken to read
        `rows`."""
    def timings(self) -> list[tuple[str, float]]:
        """(name, seconds) of each op of the last run, when profiling is on."""
    def set_profiling(self, on: bool) -> None: ...

def column_squares(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of each column of [rows, columns] the sum of the squares, added in the order of the rows."""

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
