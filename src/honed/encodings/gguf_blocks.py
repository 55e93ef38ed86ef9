"""A weight in the blocks of a GGUF file, kept as its bytes until rows of it are asked for.

The rows of a file may lie in another order than the model counts them (query and key of the Llama family); the order
is applied when rows are decoded, whole rows at a time, so blocks stay as they are and the map stays lazy.
Not here: the layouts (`gguf_formats.py`) and the file (`checkpoints/gguf.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.encodings.dense import DenseScheme
from honed.encodings.descriptor import DensePolicy, Format
from honed.encodings.gguf_formats import BlockFormat
from honed.encodings.gguf_runs import BLOCK_FORMATS, DECODED_TABLES
from honed.encodings.int4 import Offset

CHUNK_VALUES = 1 << 17
"""Values decoded at a time: the temporaries of a chunk stay within a second-level cache."""


@dataclass(frozen=True, eq=False)
class GgufBlocks:
    """`data` uint8, the bytes of the tensor; `shape` (out, in) or (n,), rows a whole number of blocks wide. One of
    [matrices, out, in] is only there to have its matrices taken out (`matrix`).

    `row_order[r]` is the stored row of logical row r; None where they are the same.
    """

    format: BlockFormat
    data: NDArray[np.uint8]
    shape: tuple[int, ...]
    row_order: NDArray[np.intp] | None = None

    def __post_init__(self) -> None:
        if len(self.shape) not in (1, 2, 3) or self.shape[-1] % self.format.values:
            raise TypeError(f"{self.format.name} cannot hold a tensor of shape {self.shape}")
        expected = int(np.prod(self.shape)) // self.format.values * self.format.nbytes
        if self.data.dtype != np.uint8 or self.data.shape != (expected,):
            raise TypeError(f"{self.format.name} {self.shape} takes {expected} bytes, not {self.data.shape}")
        if self.row_order is not None and self.row_order.shape != self.shape[:1]:
            raise TypeError(f"the order of {self.shape[0]} rows has shape {self.row_order.shape}")

    @property
    def nbytes(self) -> int:
        return int(self.data.nbytes)

    @property
    def kind(self) -> str:
        return "gguf"

    def run_as(self, policy: DensePolicy) -> Format:
        """With auto as they are, where kernels read them; else decoded, as values of 16 bits are, or of 32."""
        own = BLOCK_FORMATS.get(self.type_name) if policy == "auto" else None
        return own or DenseScheme("float32" if self.type_name == "F32" else "bfloat16").run_as(policy)

    def floats(self) -> Mapping[str, NDArray[Any]]:
        return self.format.floats(self.blocks)

    @property
    def type_name(self) -> str:
        """ggml's name of the block format, such as Q4_K."""
        return self.format.name

    @property
    def looked_up(self) -> bool:
        """Whether kernels look rows up in the blocks as they lie."""
        return self.format.codes is not None and not self.type_name.startswith(DECODED_TABLES)

    @property
    def int4_offset(self) -> Offset:
        """The offset with which int4 groups come nearest to the grid that these values already lie on."""
        if "m" in self.format.scales:
            return "minimum"
        return "symmetric" if self.type_name in ("Q4_0", "TQ1_0", "TQ2_0") else "zero_point"

    @property
    def blocks(self) -> NDArray[np.void]:
        """The records of the format, [stored rows, blocks of a row]; a vector is one row. No copy."""
        records: NDArray[np.void] = self.data.view(self.format.layout).reshape(self._stored_rows, -1)
        return records

    @property
    def stored(self) -> NDArray[np.uint8]:
        """The bytes of each stored row: [rows, bytes]. No copy."""
        rows: NDArray[np.uint8] = self.data.reshape(self._stored_rows, -1)
        return rows

    def part(self, rows: slice) -> GgufBlocks:
        """Some rows of a matrix as a weight of their own, in the order of the model; copied only where that differs."""
        data = self.stored[rows] if self.row_order is None else self.stored[self.row_order[rows]]
        return GgufBlocks(self.format, data.reshape(-1), (len(data), *self.shape[1:]))

    def rows_at(self, numbers: NDArray[np.intp]) -> GgufBlocks:
        """Those rows of a matrix, in that order; copied only where they do not lie behind each other."""
        stored = numbers if self.row_order is None else self.row_order[numbers]
        together = len(stored) > 0 and bool((np.diff(stored) == 1).all())
        data = self.stored[stored[0] : stored[-1] + 1] if together else self.stored[stored]
        return GgufBlocks(self.format, data.reshape(-1), (len(data), *self.shape[1:]))

    def matrix(self, number: int) -> GgufBlocks:
        """One of [matrices, out, in]."""
        rows, width = self.shape[-2:]
        data = self.stored[number * rows : (number + 1) * rows]
        return GgufBlocks(self.format, data.reshape(-1), (rows, width))

    @property
    def _stored_rows(self) -> int:
        return int(np.prod(self.shape[:-1])) if len(self.shape) > 1 else 1

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        """Bit-equal to ggml's dequantization. Beside the result it takes memory for one chunk only."""
        if len(self.shape) == 1:
            values: NDArray[np.float32] = self._decode_rows(np.zeros(1, dtype=np.intp))[0]
            return values[rows] if self.row_order is None else values[self.row_order[rows]]
        if self.row_order is None:
            return self._decode_rows(np.arange(self.shape[0])[rows])
        return self._decode_rows(self.row_order[rows])

    def _decode_rows(self, stored: NDArray[np.intp]) -> NDArray[np.float32]:
        width = self.shape[-1]
        out = np.empty((len(stored), width), dtype=np.float32)
        step = max(1, CHUNK_VALUES // width)
        blocks = self.blocks
        # A scale may be Inf or NaN: that is found by checkpoints/finite_weights.py, which can name the tensor.
        with np.errstate(invalid="ignore", over="ignore"):
            for start in range(0, len(stored), step):
                part = blocks[stored[start : start + step]].reshape(-1)
                out[start : start + step] = self.format.decode(part).reshape(-1, width)
        return out
