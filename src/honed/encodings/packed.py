"""Weights whose codes lie packed in a mapped file: unpacked each time they are asked for, never kept.

They are `Int8`, `Int4` and `Codebook` to everyone else. Opening a model touches none of their codes, and packing one
weight for a kernel holds the codes of that weight only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from honed.encodings.activation import ActivationScales
from honed.encodings.codebook import Codebook, Table
from honed.encodings.int4 import Int4
from honed.encodings.int8 import Int8
from honed.later import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]


class PackedInt8(Int8):
    """`packed` uint8 [out, at least in]: code + 128, rows filled up to whole words."""

    packed: Bytes
    width: int

    def __init__(
        self,
        packed: Bytes,
        width: int,
        *,
        scales: NDArray[np.float32] | NDArray[np.float16],
        group: int | None,
        activation: ActivationScales,
    ) -> None:
        _set(self, packed=packed, width=width, scales=scales, group=group, activation=activation)

    @property
    def codes(self) -> NDArray[np.int8]:
        return self._unpacked(slice(None))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.packed.shape[0], self.width

    @property
    def nbytes(self) -> int:
        rows, width = self.shape
        return rows * width + int(self.scales.nbytes)

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        return Int8(self._unpacked(rows), self.scales[rows], self.group, self.activation).decode()

    def _unpacked(self, rows: slice) -> NDArray[np.int8]:
        return (self.packed[rows, : self.width] ^ np.uint8(0x80)).view(np.int8)


class _Pairs:
    """`packed` uint8 [out, at least in / 2]: two codes a byte, the first in the low bits."""

    packed: Bytes
    width: int

    @property
    def codes(self) -> Bytes:
        return self._unpacked(slice(None))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.packed.shape[0], self.width

    def _unpacked(self, rows: slice) -> Bytes:
        return np.ascontiguousarray(split_nibbles(self.packed[rows])[:, : self.width])


class PackedInt4(_Pairs, Int4):
    """`packed` has rows filled up to whole words."""

    def __init__(
        self,
        packed: Bytes,
        width: int,
        *,
        scales: NDArray[np.float16],
        offsets: NDArray[np.uint8] | NDArray[np.float16] | None,
        group: int,
        activation: ActivationScales,
    ) -> None:
        _set(self, packed=packed, width=width, scales=scales, offsets=offsets, group=group, activation=activation)

    @property
    def nbytes(self) -> int:
        rows, width = self.shape
        offsets = 0 if self.offsets is None else int(self.offsets.nbytes)
        return (rows * width + 1) // 2 + int(self.scales.nbytes) + offsets

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        offsets = None if self.offsets is None else self.offsets[rows]
        return Int4(self._unpacked(rows), self.scales[rows], offsets, self.group, self.activation).decode()


class PackedCodebook(_Pairs, Codebook):
    """`packed` has rows filled up to whole bytes."""

    def __init__(
        self,
        packed: Bytes,
        width: int,
        *,
        scales: NDArray[np.float16],
        table: Table,
        group: int,
        activation: ActivationScales,
    ) -> None:
        _set(self, packed=packed, width=width, scales=scales, table=table, group=group, activation=activation)

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        return Codebook(self._unpacked(rows), self.scales[rows], self.table, self.group, self.activation).decode()


def split_nibbles(pairs: Bytes) -> Bytes:
    """[rows, n] bytes to [rows, 2 n] codes, low bits first."""
    # Both codes of a byte at once: the low one stays, the high one moves into the next byte.
    wide = pairs.astype("<u2")
    wide |= wide << np.uint16(4)
    wide &= np.uint16(0x0F0F)
    return wide.view(np.uint8)


def _set(weight: Int8 | Int4 | Codebook, **fields: object) -> None:
    # The base classes are frozen, and their own constructors would take the codes unpacked.
    for name, value in fields.items():
        object.__setattr__(weight, name, value)
