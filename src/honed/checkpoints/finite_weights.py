"""Whether a weight holds NaN or Inf.

The rule: nothing is checked when a checkpoint opens, since that would read all of it. Whoever takes a weight into use
calls `check_finite` first; for block and integer encodings that reads the scales only, for dense ones every value.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.encodings.base import Encoded
from honed.encodings.descriptor import Checkable
from honed.errors import FormatError

CHUNK_VALUES = 1 << 20


def check_finite(path: Path, name: str, weight: Encoded) -> None:
    """FormatError naming file and tensor if a value of the weight is, or would decode to, NaN or Inf."""
    problem = not_finite(weight)
    if problem is not None:
        raise FormatError(path, name, problem)


def not_finite(weight: Encoded) -> str | None:
    """Where a value of the weight is, or would decode to, NaN or Inf, as a sentence; None where none does."""
    floats = weight.floats() if isinstance(weight, Checkable) else {"value": weight.decode()}
    return next(filter(None, (_problem(what, values) for what, values in floats.items())), None)


def _problem(what: str, values: NDArray[Any]) -> str | None:
    if not values.size:
        return None
    rows = values.reshape(len(values), -1)
    step = max(1, CHUNK_VALUES // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        # In a bfloat16 that is not finite the exponent is all ones.
        bad = (part & 0x7F80) == 0x7F80 if part.dtype == np.uint16 else ~np.isfinite(part)
        if bad.any():
            row, column = (int(index) for index in np.argwhere(bad)[0])
            return f"{what} {column} of row {start + row} is NaN or infinite"
    return None
