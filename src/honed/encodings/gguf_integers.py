"""The blocks of a GGUF file as integers in groups: the same codes and scales, so exactly the same weights.

Q8_0 and Q5_0 are int8 groups of 32, Q4_0 and Q4_1 int4 groups of 32 (symmetric, and with a minimum). llama.cpp
quantizes activations in groups of 32 in front of these blocks, and so do we. Not here: reading single rows as float32,
which is `GgufBlocks.decode`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from honed.encodings.activation import ActivationScales
from honed.encodings.gguf_blocks import GgufBlocks
from honed.encodings.int4 import Int4
from honed.encodings.int8 import Int8

GROUP = 32


def to_integers(weight: GgufBlocks) -> Int8 | Int4:
    """A matrix in Q8_0, Q5_0, Q4_0 or Q4_1; TypeError for other blocks, whose scales these encodings cannot hold."""
    blocks = weight.blocks if weight.row_order is None else weight.blocks[weight.row_order]
    if weight.type_name not in ("Q8_0", "Q5_0", "Q4_0", "Q4_1") or len(weight.shape) != 2:
        raise TypeError(f"{weight.type_name} of shape {weight.shape} is no matrix of integers in groups of {GROUP}")
    assert weight.format.codes is not None
    codes = weight.format.codes(blocks.reshape(-1)).reshape(weight.shape)
    scales: NDArray[np.float16] = np.ascontiguousarray(blocks["d"], dtype=np.float16)
    activation = ActivationScales(GROUP)
    match weight.type_name:
        case "Q4_0":
            return Int4((codes + np.int8(8)).view(np.uint8), scales, None, GROUP, activation)
        case "Q4_1":
            minimums: NDArray[np.float16] = np.ascontiguousarray(blocks["m"], dtype=np.float16)
            return Int4(codes.view(np.uint8), scales, minimums, GROUP, activation)
        case _:
            return Int8(codes, scales, GROUP, activation)
