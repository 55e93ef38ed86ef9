"""The blocks of a GGUF file as integers in groups: the same codes and scales, so exactly the same weights.

Q8_0 and Q5_0 are int8 groups of 32, Q4_0 and Q4_1 int4 groups of 32 (symmetric, and with a minimum), TQ1_0 and TQ2_0
int4 groups too, whose scale is that of their 256, IQ4_NL and MXFP4 codebooks. The scales of the others do not fit
float16: they are products of a float16 factor and a small integer, and kept as both (`SuperBlocks`). Activations in
front of all of them are int8 in groups of 32. Not here: rows as float32, which is `GgufBlocks.decode`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honed.encodings.activation import ActivationScales
from honed.encodings.codebook import GGML_VALUES, Codebook, Table
from honed.encodings.descriptor import Integers
from honed.encodings.gguf_blocks import GgufBlocks
from honed.encodings.gguf_formats import (
    Blocks,
    four_bit_indices,
    levels_of_iq4_xs,
    mxfp4_indices,
    six_bit_pairs,
    six_bit_scales,
)
from honed.encodings.gguf_grid_blocks import POINTS
from honed.encodings.gguf_runs import BLOCK_FORMATS, BlocksFormat
from honed.encodings.int4 import Int4
from honed.encodings.int8 import Int8
from honed.encodings.mxfp4 import as_codebook, places_of

GROUP = 32


@dataclass(frozen=True, eq=False)
class SuperBlocks:
    """weight = d * level * (code - zero) - m * floor, each level over a group of inputs, d and m over a super-block.

    `codes` uint8 [out, in]; `d`, `m` float16 [out, super-blocks]; `levels` uint8 [out, in / 32 * 2] holds for each 32
    inputs the level and the floor, or where groups are of 16 those of the first and of the second: int8 levels, or
    where there is a minimum the level in the low half of a byte and the floor in the high one (Q2_K), as kernels read
    them. Where there are no levels (Q5_1) weight = d * code + m. With a `table` (IQ1 to IQ3, IQ4_XS) codes are places
    in it, `levels` are int8 levels alone, those of groups of 32 [out, in / 32], and d is multiplied with `factor`.
    """

    codes: NDArray[np.uint8]
    d: NDArray[np.float16]
    m: NDArray[np.float16] | None
    levels: NDArray[np.uint8] | None
    zero: int
    group: int
    """Inputs that share a level."""
    table: Table | None = None
    factor: float = 1.0

    @property
    def kind(self) -> str:
        return BlocksFormat.name

    @property
    def scales(self) -> NDArray[np.float32]:
        """d * level of each group, exact: [out, groups]."""
        if self.levels is None:
            return self.d.astype(np.float32)
        levels: NDArray[np.generic] = self.levels.view(np.int8)
        if self.m is not None:
            levels = self.levels[:, ::2] if self.group == GROUP else self.levels & np.uint8(15)
        return self._widened(self.d, levels.shape[1]) * np.float32(self.factor) * levels.astype(np.float32)

    @property
    def minimums(self) -> NDArray[np.float32] | None:
        """What is added to each value of a group, exact: [out, groups]."""
        if self.m is None or self.levels is None:
            return None if self.m is None else self.m.astype(np.float32)
        floors = (self.levels[:, 1::2] if self.group == GROUP else self.levels >> np.uint8(4)).astype(np.float32)
        return -(self._widened(self.m, floors.shape[1]) * floors)

    def integers(self) -> Integers:
        """Scales and minimums multiplied out: the products are exact in float32."""
        codes = self.codes.astype(np.int64) - self.zero
        values = codes if self.table is None else np.array(self.table, dtype=np.int64)[codes]
        return Integers(values, self.scales, self.minimums, self.group)

    @staticmethod
    def _widened(factors: NDArray[np.float16], groups: int) -> NDArray[np.float32]:
        return np.repeat(factors.astype(np.float32), groups // factors.shape[1], axis=1)


def as_run(weight: GgufBlocks) -> Int8 | Int4 | Codebook | SuperBlocks:
    """A matrix as the integers in which its blocks run (`gguf_runs.py`); TypeError for blocks that do not."""
    if isinstance(BLOCK_FORMATS.get(weight.type_name), BlocksFormat):
        return to_super_blocks(weight)
    return to_integers(weight)


def to_integers(weight: GgufBlocks) -> Int8 | Int4 | Codebook:
    """A matrix in Q8_0, Q5_0, Q4_0, Q4_1, IQ4_NL, MXFP4, TQ1_0 or TQ2_0; TypeError for others, whose scales these
    encodings cannot hold. ValueError for a block of MXFP4 whose scale they cannot."""
    if weight.type_name == "MXFP4":
        powers = _in_order(weight, ("MXFP4",))
        places = places_of(mxfp4_indices(powers.reshape(-1))).reshape(weight.shape)
        return as_codebook(places, np.ascontiguousarray(powers["exponent"]))
    blocks = _in_order(weight, ("Q8_0", "Q5_0", "Q4_0", "Q4_1", "IQ4_NL", "TQ1_0", "TQ2_0"))
    scales, activation = _column(blocks, "d"), ActivationScales(GROUP)
    if weight.type_name == "IQ4_NL":
        indices = four_bit_indices(blocks.reshape(-1)).reshape(weight.shape)
        return Codebook(indices, scales, GGML_VALUES, GROUP, activation)
    codes = _codes(weight, blocks)
    match weight.type_name:
        case "Q4_0":
            return Int4((codes + np.int8(8)).view(np.uint8), scales, None, GROUP, activation)
        case "Q4_1":
            return Int4(codes.view(np.uint8), scales, _column(blocks, "m"), GROUP, activation)
        case "TQ1_0" | "TQ2_0":
            spread = np.repeat(scales, weight.format.values // GROUP, axis=1)
            return Int4((codes + np.int8(8)).view(np.uint8), spread, None, GROUP, activation)
        case _:
            return Int8(codes, scales, GROUP, activation)


def to_super_blocks(weight: GgufBlocks) -> SuperBlocks:
    """A matrix in Q2_K, Q3_K, Q4_K, Q5_K, Q5_1, Q6_K, IQ4_XS or points of a grid; TypeError for other blocks."""
    blocks = _in_order(weight, ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q5_1", "Q6_K", "IQ4_XS", *POINTS))
    if weight.type_name in POINTS:
        return _points(weight, blocks)
    if weight.type_name == "IQ4_XS":
        flat = blocks.reshape(-1)
        indices = four_bit_indices(flat).reshape(weight.shape)
        of_groups = levels_of_iq4_xs(flat).view(np.uint8).reshape(weight.shape[0], -1)
        return SuperBlocks(indices, _column(blocks, "d"), None, of_groups, 0, GROUP, GGML_VALUES)
    rows, zero = weight.shape[0], {"Q6_K": 32, "Q3_K": 4}.get(weight.type_name, 0)
    codes = (_codes(weight, blocks) + np.int8(zero)).view(np.uint8)
    levels: NDArray[np.uint8] | None
    match weight.type_name:
        case "Q5_1":
            levels = None
        case "Q6_K" | "Q2_K":
            levels = np.ascontiguousarray(blocks["scales"]).view(np.uint8).reshape(rows, -1)
        case "Q3_K":
            levels = six_bit_scales(blocks["scales"].reshape(-1, 12)).view(np.uint8).reshape(rows, -1)
        case _:
            pairs = six_bit_pairs(blocks["scales"].reshape(-1, 12))
            levels = np.stack(pairs, axis=-1).reshape(rows, -1)
    minimums = _column(blocks, "m") if "m" in weight.format.scales else None
    group = GROUP // 2 if weight.type_name in ("Q2_K", "Q3_K", "Q6_K") else GROUP
    return SuperBlocks(codes, _column(blocks, "d"), minimums, levels, zero, group)


def _points(weight: GgufBlocks, blocks: Blocks) -> SuperBlocks:
    points, flat = POINTS[weight.type_name], blocks.reshape(-1)
    places = np.zeros(256, dtype=np.uint8)
    places[np.array(points.values, dtype=np.int8).view(np.uint8)] = np.arange(len(points.values))
    indices = places[points.codes(flat).view(np.uint8)].reshape(weight.shape)
    levels = points.levels(flat).view(np.uint8).reshape(len(blocks), -1)
    group = weight.shape[1] // levels.shape[1]
    (d,) = weight.format.floats(blocks).values()
    factors = np.ascontiguousarray(d, dtype=np.float16)
    return SuperBlocks(indices, factors, None, levels, 0, group, points.values, points.factor)


def _in_order(weight: GgufBlocks, types: tuple[str, ...]) -> Blocks:
    """The records of a matrix, [rows, blocks of a row], in the order of the model."""
    if weight.type_name not in types or len(weight.shape) != 2:
        raise TypeError(f"{weight.type_name} of shape {weight.shape} is no matrix in {', '.join(types)}")
    return weight.blocks if weight.row_order is None else weight.blocks[weight.row_order]


def _codes(weight: GgufBlocks, blocks: Blocks) -> NDArray[np.int8]:
    assert weight.format.codes is not None
    return weight.format.codes(blocks.reshape(-1)).reshape(weight.shape)


def _column(blocks: Blocks, field: str) -> NDArray[np.float16]:
    return np.ascontiguousarray(blocks[field], dtype=np.float16)
