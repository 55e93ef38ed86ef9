"""What a pass made of the Gram matrix that it was told of last.

Layers with one input are told of one matrix and ask one after the other, so keeping the last is keeping all that is
asked for twice. Not here: what is made of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Made = TypeVar("Made")


class OfLastGram(Generic[Made]):
    """One of these lives as long as its pass: no more than one matrix and what was made of it is held, of all blocks
    together. `make` is a function of the matrix alone."""

    def __init__(self, make: Callable[[NDArray[np.float64]], Made]) -> None:
        self._make = make
        self._last: tuple[NDArray[np.float64], Made] | None = None

    def __call__(self, gram: NDArray[np.float64]) -> Made:
        """Matrices are told apart by what they are, not by what is in them."""
        last = self._last
        if last is None or last[0] is not gram:
            self._last = last = None  # before the next one is made
            self._last = last = gram, self._make(gram)
        return last[1]
