"""Whether a weight holds NaN or Inf.

The rule: nothing is checked when a checkpoint opens, since that would read all of it. Whoever takes a weight into use
calls `check_finite` first; for block and integer encodings that reads the scales only, for dense ones every value.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from honed.encodings.base import Encoded
from honed.encodings.codebook import Codebook
from honed.encodings.dense import Dense
from honed.encodings.gguf_blocks import GgufBlocks
from honed.encodings.int4 import Int4
from honed.encodings.int8 import Int8
from honed.errors import FormatError

CHUNK_VALUES = 1 << 20


def check_finite(path: Path, name: str, weight: Encoded) -> None:
    """FormatError naming file and tensor if a value of the weight is, or would decode to, NaN or Inf."""
    if isinstance(weight, GgufBlocks):
        for field in weight.format.scales:
            _check(path, name, f"scale {field}", weight.blocks[field], bfloat16=weight.type_name == "BF16")
    elif isinstance(weight, Dense):
        _check(path, name, "value", weight.values, bfloat16=weight.dtype == "bfloat16")
    elif isinstance(weight, Int8 | Int4 | Codebook):
        _check(path, name, "scale", weight.scales)
    else:
        _check(path, name, "value", weight.decode())


def _check(path: Path, name: str, what: str, values: NDArray[np.generic], *, bfloat16: bool = False) -> None:
    if not values.size:
        return
    rows = values.reshape(len(values), -1)
    step = max(1, CHUNK_VALUES // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        # In a bfloat16 that is not finite the exponent is all ones.
        bad = (part.view(np.uint16) & 0x7F80) == 0x7F80 if bfloat16 else ~np.isfinite(part)
        if bad.any():
            row, column = (int(index) for index in np.argwhere(bad)[0])
            raise FormatError(path, name, f"{what} {column} of row {start + row} is NaN or infinite")
