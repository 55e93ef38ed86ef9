"""The blocks of a GGUF file as integers in groups: the same codes and scales, so exactly the same weights.

Q8_0 and Q5_0 are int8 groups of 32, Q4_0 and Q4_1 int4 groups of 32 (symmetric, and with a minimum). The scales of the
others do not fit float16: they are products of a float16 factor and a small integer, and kept as both (`SuperBlocks`).
Activations in front of all of them are int8 in groups of 32. Not here: rows as float32, which is `GgufBlocks.decode`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honed.encodings.activation import ActivationScales
from honed.encodings.gguf_blocks import GgufBlocks
from honed.encodings.gguf_formats import Blocks, six_bit_pairs
from honed.encodings.int4 import Int4
from honed.encodings.int8 import Int8

GROUP = 32


@dataclass(frozen=True, eq=False)
class SuperBlocks:
    """weight = d * level * (code - zero) - m * floor, each level over a group of inputs, d and m over a super-block.

    `codes` uint8 [out, in]; `d`, `m` float16 [out, super-blocks]; `levels` uint8 [out, in / 32 * 2] holds for each 32
    inputs the level and the floor, or where groups are of 16 the int8 levels of both, as kernels read them. Where there
    are no levels (Q5_1) weight = d * code + m.
    """

    codes: NDArray[np.uint8]
    d: NDArray[np.float16]
    m: NDArray[np.float16] | None
    levels: NDArray[np.uint8] | None
    zero: int

    @property
    def group(self) -> int:
        """Inputs that share a level."""
        return GROUP if self.m is not None else GROUP // 2

    @property
    def scales(self) -> NDArray[np.float32]:
        """d * level of each group, exact: [out, groups]."""
        if self.levels is None:
            return self.d.astype(np.float32)
        levels = self.levels[:, ::2].astype(np.float32) if self.m is not None else self.levels.view(np.int8)
        return self._widened(self.d, levels.shape[1]) * levels.astype(np.float32)

    @property
    def minimums(self) -> NDArray[np.float32] | None:
        """What is added to each value of a group, exact: [out, groups]."""
        if self.m is None or self.levels is None:
            return None if self.m is None else self.m.astype(np.float32)
        floors = self.levels[:, 1::2].astype(np.float32)
        return -(self._widened(self.m, floors.shape[1]) * floors)

    @staticmethod
    def _widened(factors: NDArray[np.float16], groups: int) -> NDArray[np.float32]:
        return np.repeat(factors.astype(np.float32), groups // factors.shape[1], axis=1)


def to_integers(weight: GgufBlocks) -> Int8 | Int4:
    """A matrix in Q8_0, Q5_0, Q4_0 or Q4_1; TypeError for other blocks, whose scales these encodings cannot hold."""
    blocks = _in_order(weight, ("Q8_0", "Q5_0", "Q4_0", "Q4_1"))
    codes = _codes(weight, blocks)
    scales, activation = _column(blocks, "d"), ActivationScales(GROUP)
    match weight.type_name:
        case "Q4_0":
            return Int4((codes + np.int8(8)).view(np.uint8), scales, None, GROUP, activation)
        case "Q4_1":
            return Int4(codes.view(np.uint8), scales, _column(blocks, "m"), GROUP, activation)
        case _:
            return Int8(codes, scales, GROUP, activation)


def to_super_blocks(weight: GgufBlocks) -> SuperBlocks:
    """A matrix in Q4_K, Q5_K, Q5_1 or Q6_K; TypeError for other blocks."""
    blocks = _in_order(weight, ("Q4_K", "Q5_K", "Q5_1", "Q6_K"))
    rows, zero = weight.shape[0], 32 if weight.type_name == "Q6_K" else 0
    codes = (_codes(weight, blocks) + np.int8(zero)).view(np.uint8)
    match weight.type_name:
        case "Q5_1":
            levels = None
        case "Q6_K":
            levels = np.ascontiguousarray(blocks["scales"]).view(np.uint8).reshape(rows, -1)
        case _:
            pairs = six_bit_pairs(blocks["scales"].reshape(-1, 12))
            levels = np.stack(pairs, axis=-1).reshape(rows, -1)
    minimums = None if weight.type_name == "Q6_K" else _column(blocks, "m")
    return SuperBlocks(codes, _column(blocks, "d"), minimums, levels, zero)


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
