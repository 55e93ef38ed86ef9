"""The compressed-tensors format: how weights lie in safetensors so that other tools read them, where they can.

Two of its layouts are written and read (https://github.com/vllm-project/compressed-tensors):

pack-quantized   `weight_packed` int32 [out, in * bits / 32], codes with an offset of half their range, the first in
                 the low bits; `weight_scale` [out, groups]; `weight_shape` int64 [2]; for a zero point
                 `weight_zero_point` int32 [out / 8, groups], packed along the first axis.
int-quantized    `weight` int8 [out, in]; `weight_scale` [out, 1].

int8 and int4 are stored so to begin with (`encodings/int8.py`, `encodings/int4.py`), and what the format has no place
for has tensors of names of its own. Here is what is written for other tools in place of such a tensor, and the check
that they read finite weights. How a config says what lies there is in `declare.py`, and the config of a foreign
checkpoint is read in `config.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from honed.checkpoints.safetensors.spec import TensorSpec
from honed.encodings.base import Encoded
from honed.encodings.descriptor import Scheme
from honed.encodings.int4 import Int4
from honed.encodings.scheme import storable
from honed.encodings.words import pack_zero_points, split_nibbles, to_bytes
from honed.errors import UnsupportedError
from honed.lazy_imports import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


_INFINITE_FLOAT16 = 65520.0
"""The least number that rounds to infinity in float16."""


def tensor_specs(name: str, scheme: Scheme, shape: tuple[int, ...]) -> tuple[TensorSpec, ...]:
    """The tensors that a weight becomes."""
    return tuple(TensorSpec.of(name, part) for part in scheme.tensors(shape))


def to_tensors(name: str, weight: Encoded) -> dict[str, Array]:
    """The arrays of `tensor_specs` for an encoded weight, and the factors of a tied table; bfloat16 as its bits.

    UnsupportedError for an int4 weight that other tools would read as infinite: they decode in float16.
    """
    stored = storable(weight)
    if isinstance(weight, Int4):
        _check_finite_elsewhere(name, weight)
    return {name + suffix: values for suffix, values in stored.parts().items()}


def zero_points(weight: Int4) -> NDArray[np.uint8]:
    """The zero points of a weight; for minimums the nearest ones, which is all that the format can say of them."""
    if weight.offsets is None or weight.offset == "zero_point":
        return np.asarray(weight.offsets, np.uint8)
    scales = weight.scales.astype(np.float32)
    nearest = np.rint(-weight.offsets.astype(np.float32) / np.where(scales == 0, np.float32(1), scales))
    return np.clip(nearest, 0, 15).astype(np.uint8)


def zero_point_tensors(name: str, weight: Encoded) -> dict[str, Array]:
    """The zero points of an int4 weight, for minimums the nearest ones; nothing for any other weight."""
    if not isinstance(weight, Int4) or weight.offsets is None:
        return {}
    return {f"{name}_zero_point": pack_zero_points(zero_points(weight))}


def unpack_codes(packed: NDArray[np.int32], bits: int, width: int) -> NDArray[np.uint8]:
    """`weight_packed` of 4 or 8 bits to one unsigned code a byte, [out, width]."""
    unpacked = to_bytes(packed) if bits == 8 else split_nibbles(to_bytes(packed))
    return np.ascontiguousarray(unpacked[:, :width])


def _check_finite_elsewhere(name: str, weight: Int4) -> None:
    """compressed-tensors multiplies codes and scales in the type of the scales."""
    scales = np.abs(weight.scales.astype(np.float32))
    middle = np.full(scales.shape, 8, np.uint8)
    zeros = (middle if weight.offsets is None else zero_points(weight)).astype(np.float32)
    possible = np.maximum(zeros, 15 - zeros) * scales
    for row in np.flatnonzero((possible >= _INFINITE_FLOAT16).any(axis=1)):  # seldom any; what they hold decides
        zeros_of_row, scales_of_row = (np.repeat(of[row], weight.group)[: weight.shape[1]] for of in (zeros, scales))
        largest = float((np.abs(weight.codes[row] - zeros_of_row) * scales_of_row).max())
        if largest >= _INFINITE_FLOAT16:
            module = name.removesuffix(".weight")
            raise UnsupportedError(
                f"{name}: reaches {largest:.0f}, and other tools decode int4 in float16, which ends at 65504; "
                f'leave it dense: add {{"modules": "{module}", "setting": "dense"}} to the overrides of the recipe'
            )
