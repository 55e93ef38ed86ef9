"""What every encoding of a weight offers. Interfaces only; one file an encoding.

An encoded weight is a value: its arrays may be memory maps, and nothing is read before `decode` or before the
native side packs it. Dependency: numpy only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from honed.lazy_imports import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@runtime_checkable
class Encoded(Protocol):
    """One weight as it is stored. Matrices are (out features, in features)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Logical shape."""

    @property
    def nbytes(self) -> int:
        """Bytes that the stored form takes, scales included."""

    @property
    def kind(self) -> str:
        """Name of the encoding: dense, int8, int4, codebook, gguf."""

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        """The weight (or a range of its rows) as float32."""
