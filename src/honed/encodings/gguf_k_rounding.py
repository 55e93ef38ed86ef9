"""Values rounded to Q4_K: 256 values of a row, in eight groups of 32 with a scale and a minimum of six bits each.

ggml does not define one rounding to it, only what its bytes mean. Here each group's scale and minimum are searched for:
of several widths of the grid, codes are the nearest ones and scale and minimum then those of least squares for them;
the pair of least error stays, is put onto the grid of its block, and the codes are rounded again for what is stored.
Not here: what blocks mean (`gguf_formats.py`), and formats whose scales stand by themselves (`gguf_rounding.py`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from honed.encodings.gguf_formats import BlockFormat

Values = NDArray[np.float32]

BLOCK, GROUP = 256, 32
_CODES, _SIXTY_THREE = np.float32(15), np.float32(63)
_WIDTHS = np.linspace(0.76, 1.06, 11, dtype=np.float32)
"""Of the grid, over the one from the least value to the largest. Narrower ones cut off the ends."""
_ROUNDS = 2
"""How often scale and minimum are fitted to codes, and codes to them, from each width."""


def q4_k(values: Values, form: BlockFormat) -> NDArray[np.void]:
    """float32 [n, 256] to n records of `form`, which is Q4_K."""
    count = len(values)
    groups = values.reshape(-1, GROUP)
    scales, minimums = (found.reshape(count, -1) for found in _searched(groups))
    records = np.zeros(count, form.layout)
    records["d"] = scales.max(axis=1) / _SIXTY_THREE
    records["m"] = minimums.max(axis=1) / _SIXTY_THREE
    d, m = (records[field].astype(np.float32)[:, None] for field in ("d", "m"))
    six_scales, six_minimums = _six_bits(scales, d), _six_bits(minimums, m)
    scale, minimum = (d * six_scales).reshape(-1, 1), (m * six_minimums).reshape(-1, 1)
    codes = _nearest(groups, scale, minimum).astype(np.uint8).reshape(count, BLOCK)
    records["scales"] = _packed(six_scales, six_minimums)
    pairs = codes.reshape(count, -1, 2, GROUP)
    records["codes"] = (pairs[:, :, 0] | (pairs[:, :, 1] << np.uint8(4))).reshape(count, -1)
    return records


def _searched(groups: Values) -> tuple[Values, Values]:
    """Scale and what is subtracted, neither negative, of each group [n, 32]."""
    least = np.minimum(groups.min(axis=1), np.float32(0))
    full = (groups.max(axis=1) - least) / _CODES
    best = full.copy(), -least
    lowest = _error(groups, *best)
    for width in _WIDTHS:
        scale, minimum = full * width, -least
        for _ in range(_ROUNDS):
            scale, minimum = _fitted(groups, _nearest(groups, scale[:, None], minimum[:, None]), scale, minimum)
            error = _error(groups, scale, minimum)
            better = error < lowest
            best[0][better], best[1][better] = scale[better], minimum[better]
            lowest = np.where(better, error, lowest)
    return best


def _fitted(groups: Values, codes: Values, scale: Values, minimum: Values) -> tuple[Values, Values]:
    """Least squares of x = scale * code - minimum over each group; a minimum under zero becomes zero."""
    mean_code, mean = codes.mean(axis=1), groups.mean(axis=1)
    off = codes - mean_code[:, None]
    spread = np.square(off).sum(axis=1)
    slope = np.divide((off * groups).sum(axis=1), spread, out=scale.copy(), where=spread > 0)
    offset = slope * mean_code - mean
    squares = np.square(codes).sum(axis=1)
    through_zero = np.divide((codes * groups).sum(axis=1), squares, out=scale.copy(), where=squares > 0)
    slope = np.where(offset < 0, through_zero, slope)
    usable = slope > 0
    return np.where(usable, slope, scale), np.where(usable, np.maximum(offset, np.float32(0)), minimum)


def _nearest(groups: Values, scale: Values, minimum: Values) -> Values:
    with np.errstate(divide="ignore", invalid="ignore"):
        codes = np.rint((groups + minimum) / scale)
    found: Values = np.where(scale > 0, codes, np.float32(0)).clip(0, _CODES)
    return found


def _error(groups: Values, scale: Values, minimum: Values) -> Values:
    found: Values = np.square(
        scale[:, None] * _nearest(groups, scale[:, None], minimum[:, None]) - minimum[:, None] - groups
    ).sum(axis=1)
    return found


def _six_bits(values: Values, unit: Values) -> NDArray[np.uint8]:
    found = np.divide(values, unit, out=np.zeros_like(values), where=unit > 0)
    return np.rint(found).clip(0, _SIXTY_THREE).astype(np.uint8)


def _packed(scales: NDArray[np.uint8], minimums: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Eight scales and eight minimums of six bits as twelve bytes: the first four of each with two bits of the last
    four above them, then the low halves of those."""
    high = [(six[:, 4:] >> np.uint8(4)) << np.uint8(6) for six in (scales, minimums)]
    low = (scales[:, 4:] & np.uint8(15)) | ((minimums[:, 4:] & np.uint8(15)) << np.uint8(4))
    return np.concatenate([scales[:, :4] | high[0], minimums[:, :4] | high[1], low], axis=1)
