"""How the encoders see a weight: runs of inputs that share a scale, many at a time, spread over threads.

A chunk is a float32 array [run, count]: one column for each run, so that every operation of an encoder is one long
vector operation and a reduction over a run is a sum of rows. Finiteness is checked here, once for every encoder.
What a run becomes is in `int8_encoder.py` and `int4_encoder.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from honed.encodings.base import Encoded
from honed.errors import UnsupportedError

Runs = NDArray[np.float32]
Importance = NDArray[np.float64]
"""Of each input of a matrix, [in]: what a squared error of its weights counts, such as the mean square of the input."""
CHUNK_VALUES = 1 << 17
"""Values of a chunk: half a megabyte of float32, about a second-level cache."""


def for_each_chunk(
    weight: Encoded, run: int, encode: Callable[[slice, Runs], None], *, name: str, threads: int = 1
) -> None:
    """Calls `encode(rows, runs)` for consecutive ranges of rows; calls may overlap in time, ranges never do.

    A row of k inputs gives ceil(k / run) columns, row after row; a short last run is filled with zeros. Raises
    UnsupportedError naming the weight if it holds NaN or infinity.
    """
    height, width = matrix_shape(weight, name)
    step = max(1, CHUNK_VALUES // width)

    def work(first: int) -> None:
        rows = slice(first, min(first + step, height))
        values = weight.decode(rows)
        _refuse_not_finite(values, first, name)
        encode(rows, as_runs(values, run))

    starts = range(0, height, step)
    if threads == 1 or len(starts) == 1:
        for first in starts:
            work(first)
        return
    with ThreadPoolExecutor(threads) as pool:
        try:
            for _ in pool.map(work, starts):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def matrix_shape(weight: Encoded, name: str) -> tuple[int, int]:
    """Rows and inputs; UnsupportedError naming the weight if it is not a matrix."""
    if len(weight.shape) != 2 or 0 in weight.shape:
        raise UnsupportedError(f"{name}: only a matrix can be quantized, not shape {tuple(weight.shape)}")
    return weight.shape[0], weight.shape[1]


def counted(importance: Importance | None, rows: int, run: int) -> Runs | None:
    """How much the error of each value of so many rows counts, in the layout of their runs."""
    if importance is None:
        return None
    mean = float(importance.mean())
    relative = (importance / (mean if mean > 0 else 1.0)).astype(np.float32)
    return as_runs(np.ascontiguousarray(np.broadcast_to(relative, (rows, len(relative)))), run)


def as_rows(codes: NDArray[np.generic], height: int, width: int) -> NDArray[np.generic]:
    """The inverse of the chunk layout: [run, count] back to [height, width], without the filling."""
    return codes.T.reshape(height, -1)[:, :width]


def covering_scales(
    ranges: NDArray[np.float32], steps: float, reach: float, dtype: type[np.float16] | type[np.float32], *, name: str
) -> NDArray[np.floating]:
    """ranges / steps rounded to `dtype`, and up by one value where reach * scale would not cover the range.

    The rounding of the scale comes first and the codes are computed from what is stored. Near the smallest values of
    the type the nearest scale can be far too small, or zero; the next one up still covers. A zero range gives a zero
    scale. Raises UnsupportedError naming the weight where the scale is beyond the type.
    """
    with np.errstate(over="ignore", under="ignore"):
        scales: NDArray[np.floating] = (ranges / np.float32(steps)).astype(dtype)
        short = scales.astype(np.float64) * reach < ranges
        scales[short] = np.nextafter(scales[short], dtype(np.inf))
    if not np.isfinite(scales).all():
        raise UnsupportedError(
            f"{name}: a group reaches {float(ranges.max()):.3g}, and a {dtype.__name__} scale cannot cover more than "
            f"{float(np.finfo(dtype).max) * reach:.3g}; leave this weight dense in the recipe"
        )
    return scales


def as_runs(values: NDArray[np.float32], run: int) -> Runs:
    """[height, width] to [run, count]: ceil(width / run) columns for each row, a short last run filled with zeros."""
    missing = -values.shape[1] % run
    if missing:
        values = np.pad(values, ((0, 0), (0, missing)))
    return np.ascontiguousarray(values.reshape(-1, run).T)


def _refuse_not_finite(values: NDArray[np.float32], first: int, name: str) -> None:
    # One pass that allocates nothing: a NaN or an infinity anywhere makes the extremes not finite.
    if np.isfinite(values.max()) and np.isfinite(values.min()):
        return
    row, column = np.argwhere(~np.isfinite(values))[0]
    raise UnsupportedError(
        f"{name}: value {values[row, column]} at row {first + row}, column {column}: a weight must be finite"
    )
