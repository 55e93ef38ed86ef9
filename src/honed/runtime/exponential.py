"""exp and log with one result on every machine. Libraries choose theirs by instruction set, and the last bit with it.

Sampling compares sums of these values with a random number; a last bit that depends on the machine would now and
then give another token for the same seed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from honed.lazy_imports import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


_TERMS = 14
_COEFFICIENTS = tuple(1.0 / math.factorial(n) for n in range(_TERMS))
# ln 2 in two parts (Cody and Waite 1980): the first has 32 significant bits, so its product with k is exact.
_LN2_HIGH = float.fromhex("0x1.62e42feep-1")
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_SQRT_HALF = float.fromhex("0x1.6a09e667f3bcdp-1")
_LAST_POWER = 23


def exp_nonpositive(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """e^x for finite x <= 0, relative error under 1e-15; below -700 exactly 0.

    Only additions, multiplications, rounding and scaling by powers of two, each exact or correctly rounded by
    IEEE 754: argument reduction to |r| <= ln 2 / 2, then the Taylor polynomial of degree 13.
    """
    clipped = np.maximum(x, -700.0)
    k = np.rint(clipped * (1.0 / math.log(2.0)))
    r = (clipped - k * _LN2_HIGH) - k * _LN2_LOW
    result = np.full_like(r, _COEFFICIENTS[-1])
    for coefficient in _COEFFICIENTS[-2::-1]:
        result *= r
        result += coefficient
    return np.where(x < -700.0, 0.0, np.ldexp(result, k.astype(np.int32)))


def log_positive(x: float) -> float:
    """ln x for a finite x >= 1, absolute error under 1e-15 of max(1, ln x).

    With m in [sqrt(1/2), sqrt 2) and x = m 2^k: the series of 2 artanh((m - 1) / (m + 1)), to the power 23.
    """
    m, k = math.frexp(x)
    if m < _SQRT_HALF:
        m, k = 2 * m, k - 1
    s = (m - 1) / (m + 1)
    square = s * s
    total = 1.0 / _LAST_POWER
    for power in range(_LAST_POWER - 2, 0, -2):
        total = total * square + 1.0 / power
    return k * _LN2_HIGH + (k * _LN2_LOW + 2 * s * total)
