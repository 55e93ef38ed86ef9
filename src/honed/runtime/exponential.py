"""exp with one result on every machine. Libraries choose their exp by instruction set, and the last bit with it.

Sampling compares sums of these values with a random number; a last bit that depends on the machine would now and
then give another token for the same seed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from honed.later import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


_TERMS = 14
_COEFFICIENTS = tuple(1.0 / math.factorial(n) for n in range(_TERMS))
# ln 2 in two parts (Cody and Waite 1980): the first has 32 significant bits, so its product with k is exact.
_LN2_HIGH = float.fromhex("0x1.62e42feep-1")
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")


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
