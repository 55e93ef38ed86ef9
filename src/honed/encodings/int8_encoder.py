"""Round-to-nearest int8: the scale covers the largest magnitude of a run, and codes are the nearest multiples.

No search for a smaller range: at 8 bits clipping costs more than the finer step gains.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from honed.encodings.activation import ActivationScales
from honed.encodings.base import Encoded
from honed.encodings.grouping import Runs, as_rows, covering_scales, for_each_chunk, matrix_shape
from honed.encodings.groups import GROUPS
from honed.encodings.int8 import Int8
from honed.errors import ParameterError

_LARGEST = 127


def encode_int8(
    weight: Encoded,
    *,
    name: str,
    group: int | None = None,
    activation: ActivationScales | None = None,
    threads: int = 1,
) -> Int8:
    """Encodes a matrix with one float32 scale a row, or one float16 scale for each `group` inputs of a row.

    Every decoded value is within half a scale of the original. Errors name the weight: UnsupportedError for NaN,
    infinity or magnitudes that the scale type cannot hold.
    """
    if group not in (None, *GROUPS):
        raise ParameterError("int8 group", group, "must be null, 32, 64 or 128")
    height, width = matrix_shape(weight, name)
    run = width if group is None else group
    codes = np.empty((height, width), np.int8)
    scales = np.empty((height, -(-width // run)), np.float32 if group is None else np.float16)

    def encode(rows: slice, runs: Runs) -> None:
        of_run = covering_scales(np.abs(runs).max(axis=0), _LARGEST, _LARGEST + 0.5, scales.dtype.type, name=name)
        codes[rows] = as_rows(_nearest(runs, of_run), rows.stop - rows.start, width)
        scales[rows] = of_run.reshape(rows.stop - rows.start, -1)

    for_each_chunk(weight, run, encode, name=name, threads=threads)
    return Int8(codes, scales[:, 0].copy() if group is None else scales, group, activation or ActivationScales())


def _nearest(runs: Runs, scales: NDArray[np.floating]) -> NDArray[np.int8]:
    divisors = scales.astype(np.float32)
    divisors[divisors == 0] = 1
    quotients = runs / divisors
    np.rint(quotients, out=quotients)
    np.clip(quotients, -_LARGEST, _LARGEST, out=quotients)
    return quotients.astype(np.int8)
