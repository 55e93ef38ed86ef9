"""MXFP4 (OCP Microscaling Formats 1.0): values of four bits, of which 32 along the input share a power of two.

    weight = 2 ** (exponent - 128) * table[code]

A value is 0, 0.5, 1, 1.5, 2, 3, 4 or 6 with a sign; doubled they are integers, and half the scale is a power of two
still, so a weight is on the codebook kernel exactly what it is in the file. There scales are float16, which holds the
powers from 2^-24 to 2^15: blocks with others can be run decoded only, and say so.
Here is the form that Hugging Face gives
gpt-oss, codes and exponents apart. Not here: the blocks of GGUF files (`gguf_formats.py`), which go by the same tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from honed.encodings.activation import ActivationScales
from honed.encodings.codebook import Codebook, CodebookScheme, Table
from honed.encodings.dense import DenseFormat
from honed.encodings.descriptor import DensePolicy, Format, Integers
from honed.encodings.groups import Group
from honed.lazy_imports import numpy as np
from honed.records import dataclass

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK: Group = 32
"""Values that share an exponent; two of them are a byte."""
TABLE: Table = (-12, -8, -6, -4, -3, -2, -1, 0, 0, 1, 2, 3, 4, 6, 8, 12)
"""What codes stand for, doubled, ascending as kernels want them. Both zeros are one: 0."""
PLACES = (8, 9, 10, 11, 12, 13, 14, 15, 7, 6, 5, 4, 3, 2, 1, 0)
"""Where the value of each code of the format, a sign and three bits, stands in the table."""
SCHEME = CodebookScheme(BLOCK, TABLE, BLOCK)
"""How kernels read it."""
_HALVED_BIAS = 128
_LEAST, _MOST = 104, 143
"""Exponents of 2^-24 and 2^15, halved."""
_CHUNK_VALUES = 1 << 17


def doubled_values() -> NDArray[np.int8]:
    """What each code of the format stands for, doubled."""
    return np.array(TABLE, dtype=np.int8)[list(PLACES)]


def places_of(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Codes of the format as places in the table: without a sign 8 + code, with one 15 - code."""
    return codes ^ (np.uint8(8) + np.uint8(7) * (codes >> np.uint8(3)))


def halved_scales(exponents: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Half of what each exponent stands for, exact, the smallest ones denormal."""
    scales: NDArray[np.float32] = np.ldexp(np.float32(1), exponents.astype(np.int32) - _HALVED_BIAS)
    return scales


def as_codebook(places: NDArray[np.uint8], exponents: NDArray[np.uint8]) -> Codebook:
    """The weight as kernels multiply it: `places` [out, in], `exponents` [out, in / 32].

    ValueError naming the block whose scale float16 does not hold; that of a block of zeros may be any.
    """
    held = (exponents >= _LEAST) & (exponents <= _MOST)
    if not held.all():
        rows, blocks = np.nonzero(~held)
        of_blocks = places.reshape(*exponents.shape, BLOCK)[rows, blocks]
        filled = np.isin(of_blocks, (PLACES[0], PLACES[8]), invert=True).any(axis=1)
        if filled.any():
            row, block = int(rows[filled.argmax()]), int(blocks[filled.argmax()])
            raise ValueError(
                f"row {row}: block {block} of MXFP4 has the scale 2^{int(exponents[row, block]) - 127}, and kernels "
                f"hold those from 2^{_LEAST - 127} to 2^{_MOST - 127}; run the model with dtype bfloat16"
            )
    scales = np.where(held, halved_scales(exponents), np.float32(0)).astype(np.float16)
    return Codebook(places, scales, TABLE, BLOCK, ActivationScales(BLOCK))


@dataclass(frozen=True)
class Mxfp4:
    """`blocks` uint8 [..., out, in / 32, 16], the first value of a byte in its low bits; `exponents` uint8 [..., out,
    in / 32]. With one more dimension in front it is only there to have its matrices taken out. Both may be mapped."""

    blocks: NDArray[np.uint8]
    exponents: NDArray[np.uint8]

    def __post_init__(self) -> None:
        fits = self.blocks.shape == (*self.exponents.shape, BLOCK // 2) and self.exponents.ndim in (2, 3)
        if not fits or self.blocks.dtype != np.uint8 or self.exponents.dtype != np.uint8:
            raise TypeError(f"MXFP4 blocks {self.blocks.shape} do not go with exponents {self.exponents.shape}")

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.exponents.shape[:-1], self.exponents.shape[-1] * BLOCK)

    @property
    def nbytes(self) -> int:
        return int(self.blocks.nbytes + self.exponents.nbytes)

    @property
    def kind(self) -> str:
        return "mxfp4"

    def run_as(self, policy: DensePolicy) -> Format:
        """With auto as it is; else decoded to what bfloat16 holds exactly."""
        return SCHEME if policy == "auto" else DenseFormat(policy)

    def floats(self) -> Mapping[str, NDArray[Any]]:
        with np.errstate(over="ignore"):
            return {"largest of block": halved_scales(self.exponents) * np.float32(max(TABLE))}

    def matrix(self, number: int) -> Mxfp4:
        """One of [matrices, out, in]."""
        return Mxfp4(self.blocks[number], self.exponents[number])

    def part(self, rows: slice) -> Mxfp4:
        """Some rows as a weight of their own. No copy."""
        return Mxfp4(self.blocks[rows], self.exponents[rows])

    def rows_at(self, numbers: NDArray[np.intp]) -> Mxfp4:
        """Those rows, in that order; copied only where they do not lie at even distances."""
        steps = np.diff(numbers)
        if len(numbers) > 1 and steps[0] > 0 and bool((steps == steps[0]).all()):
            return self.part(slice(int(numbers[0]), int(numbers[-1]) + 1, int(steps[0])))
        return Mxfp4(self.blocks[numbers], self.exponents[numbers])

    def as_run(self) -> Codebook:
        """A matrix as kernels multiply it. ValueError as of `as_codebook`."""
        return as_codebook(places_of(self._codes()), np.ascontiguousarray(self.exponents))

    def integers(self) -> Integers:
        return self.as_run().integers()

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        """Exact, whatever the scales. Beside the result it takes memory for one chunk only."""
        part = self.part(rows)
        out = np.empty(part.shape, dtype=np.float32)
        step = max(1, _CHUNK_VALUES // max(1, part.shape[-1]))
        doubled = doubled_values().astype(np.float32)
        with np.errstate(over="ignore"):  # found by checkpoints/finite_weights.py, which can name the tensor
            for start in range(0, len(out), step):
                piece = part.part(slice(start, start + step))
                scales = np.repeat(halved_scales(piece.exponents), BLOCK, axis=-1)
                out[start : start + step] = doubled[piece._codes()] * scales
        return out

    def _codes(self) -> NDArray[np.uint8]:
        """Of every value, as the format has them."""
        codes = np.empty((*self.blocks.shape, 2), dtype=np.uint8)
        np.bitwise_and(self.blocks, np.uint8(15), out=codes[..., 0])
        np.right_shift(self.blocks, np.uint8(4), out=codes[..., 1])
        return codes.reshape(self.shape)
