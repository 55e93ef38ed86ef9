"""An embedding table that is stored as the head that it is tied to: looked up in and multiplied with the same codes.

Smoothing moves a power of two for each input feature from the norm before the head into the head, which a table must
not have. Nothing is rounded by a power of two, so a lookup takes it out again exactly: what a head of its own would
lose by rounding, such a table loses too, and no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from honed.encodings.base import Encoded
from honed.encodings.descriptor import Part, Scheme
from honed.encodings.scheme import storable
from honed.lazy_imports import numpy as np
from honed.records import dataclass

if TYPE_CHECKING:
    from numpy.typing import NDArray


def factors_part(shape: tuple[int, ...]) -> Part:
    """The tensor that a tied table of that shape has beside those of its head."""
    return Part("_lookup_factors", "F32", shape[1:])


@dataclass(frozen=True)
class TiedTable:
    """`head` is the matrix as it is multiplied with; a row of it times `factors` (float32 [in]) is a row of the table.

    Decodes to the table.
    """

    head: Encoded
    factors: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.factors.dtype != np.float32 or self.factors.shape != self.head.shape[1:]:
            raise TypeError(f"factors of a tied table must be float32 {self.head.shape[1:]}")

    @property
    def scheme(self) -> Scheme:
        return storable(self.head).scheme

    @property
    def shape(self) -> tuple[int, ...]:
        return self.head.shape

    @property
    def nbytes(self) -> int:
        return self.head.nbytes + int(self.factors.nbytes)

    @property
    def kind(self) -> str:
        return self.head.kind

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        decoded: NDArray[np.float32] = self.head.decode(rows) * self.factors
        return decoded

    def parts(self) -> dict[str, NDArray[Any]]:
        """Those of the head, and the factors."""
        return {**storable(self.head).parts(), factors_part(self.shape).suffix: self.factors}
