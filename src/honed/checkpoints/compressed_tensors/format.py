"""The compressed-tensors format: how an int8 or int4 weight lies in safetensors, and the config that says so.

Two of its layouts are written and read (https://github.com/vllm-project/compressed-tensors):

pack-quantized   `weight_packed` int32 [out, in * bits / 32], codes with an offset of half their range, the first in
                 the low bits; `weight_scale` [out, groups]; `weight_shape` int64 [2]; for a zero point
                 `weight_zero_point` int32 [out / 8, groups], packed along the first axis.
int-quantized    `weight` int8 [out, in]; `weight_scale` [out, 1].

Only one scale a channel and a token is declared with its activations (int-quantized): that is the W8A8 scheme that
other engines have. Grouped weights are declared weight-only: engines that run them read float activations, and
the activation scales of this project stand in the manifest. A float minimum has no place in the format either:
what is declared is the nearest zero point, and the minimum itself lies in a file of ours. Indices of a codebook it
cannot say at all: their tensors have names of their own, `weight_codes` uint8 [out, in / 2], the first in the low bits,
and `weight_scale`; the table stands in the manifest. The config of a foreign checkpoint is read in `config.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from honed.encodings.base import Encoded
from honed.encodings.codebook import Codebook
from honed.encodings.dense import Dense
from honed.encodings.int4 import Int4
from honed.encodings.int8 import Int8
from honed.encodings.packed import PackedCodebook, PackedInt4, PackedInt8, split_nibbles
from honed.encodings.scheme import (
    CodebookScheme,
    DenseScheme,
    Int4Scheme,
    Int8Scheme,
    Scheme,
    activation_scales,
    scheme_of,
)
from honed.later import numpy as np
from honed.records import dataclass

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


CODEBOOK_FORMAT = "honed-codebook"
_DENSE_TYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
_SIZES = {"I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I8": 1, "U8": 1}


@dataclass(frozen=True)
class TensorSpec:
    """One entry of a safetensors header, before its offsets are known."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        count = 1
        for extent in self.shape:
            count *= extent
        return count * _SIZES[self.dtype]


def is_w8a8(scheme: Scheme) -> bool:
    """Whether the scheme is stored int-quantized, activations declared."""
    return isinstance(scheme, Int8Scheme) and scheme.group is None and scheme.activation_group is None


def tensor_specs(name: str, scheme: Scheme, shape: tuple[int, ...]) -> tuple[TensorSpec, ...]:
    """The tensors that a weight `module.weight` becomes."""
    if isinstance(scheme, DenseScheme):
        return (TensorSpec(name, _DENSE_TYPES[scheme.dtype], shape),)
    rows, width = shape
    module = name.removesuffix(".weight")
    if is_w8a8(scheme):
        return (TensorSpec(name, "I8", shape), TensorSpec(f"{module}.weight_scale", "F32", (rows, 1)))
    if isinstance(scheme, CodebookScheme):
        return (
            TensorSpec(f"{module}.weight_codes", "U8", (rows, -(-width // 2))),
            TensorSpec(f"{module}.weight_scale", "F16", (rows, -(-width // scheme.group))),
        )
    bits = 8 if isinstance(scheme, Int8Scheme) else 4
    groups = 1 if scheme.group is None else -(-width // scheme.group)
    specs = (
        TensorSpec(f"{module}.weight_packed", "I32", (rows, -(-width * bits // 32))),
        TensorSpec(f"{module}.weight_scale", "F32" if scheme.group is None else "F16", (rows, groups)),
        TensorSpec(f"{module}.weight_shape", "I64", (2,)),
    )
    if isinstance(scheme, Int4Scheme) and scheme.offset != "symmetric":
        return (*specs, TensorSpec(f"{module}.weight_zero_point", "I32", (-(-rows // 8), groups)))
    return specs


def minimum_spec(name: str, scheme: Int4Scheme, shape: tuple[int, ...]) -> TensorSpec:
    """The tensor of the minimums of a weight. No part of compressed-tensors: it lies in a file of ours."""
    rows, width = shape
    return TensorSpec(f"{name.removesuffix('.weight')}.weight_minimum", "F16", (rows, -(-width // scheme.group)))


def zero_points(weight: Int4) -> NDArray[np.uint8]:
    """The zero points of a weight; for minimums the nearest ones, which is all that the format can say of them."""
    if weight.offsets is None or weight.offset == "zero_point":
        return np.asarray(weight.offsets, np.uint8)
    scales = weight.scales.astype(np.float32)
    nearest = np.rint(-weight.offsets.astype(np.float32) / np.where(scales == 0, np.float32(1), scales))
    return np.clip(nearest, 0, 15).astype(np.uint8)


def to_tensors(name: str, weight: Encoded) -> dict[str, Array]:
    """The arrays of `tensor_specs` and `minimum_spec` for an encoded weight; bfloat16 as its bits."""
    module = name.removesuffix(".weight")
    if isinstance(weight, Dense):
        return {name: weight.values}
    if isinstance(weight, Int8):
        scales = weight.scales[:, None] if weight.group is None else weight.scales
        if is_w8a8(scheme_of(weight)):
            return {name: weight.codes, f"{module}.weight_scale": scales}
        packed = _words(weight.codes.view(np.uint8) ^ np.uint8(0x80))
        return {f"{module}.weight_packed": packed, f"{module}.weight_scale": scales, **_shape(module, weight)}
    if isinstance(weight, Int4):
        tensors: dict[str, Array] = {
            f"{module}.weight_packed": _words(_join_nibbles(weight.codes)),
            f"{module}.weight_scale": weight.scales,
            **_shape(module, weight),
        }
        if weight.offsets is not None:
            tensors[f"{module}.weight_zero_point"] = pack_zero_points(zero_points(weight))
        if weight.offset == "minimum" and weight.offsets is not None:
            tensors[f"{module}.weight_minimum"] = weight.offsets
        return tensors
    if isinstance(weight, Codebook):
        return {f"{module}.weight_codes": _join_nibbles(weight.codes), f"{module}.weight_scale": weight.scales}
    raise TypeError(f"{name}: the encoding {weight.kind} has no compressed-tensors form")


def from_tensors(name: str, scheme: Scheme, shape: tuple[int, ...], read: Callable[[str], Array]) -> Encoded:
    """The weight whose tensors `read` gives by name, with the types and shapes of `tensor_specs`.

    Packed codes stay packed until they are asked for.
    """
    module = name.removesuffix(".weight")
    if isinstance(scheme, DenseScheme):
        return Dense(read(name), scheme.dtype)
    rows, width = shape
    activation = activation_scales(scheme)
    scales = read(f"{module}.weight_scale")
    if isinstance(scheme, Int8Scheme):
        of_channels = scales[:, 0] if scheme.group is None else scales
        if is_w8a8(scheme):
            return Int8(read(name), of_channels, scheme.group, activation)
        return PackedInt8(
            _bytes(read(f"{module}.weight_packed")),
            width,
            scales=of_channels,
            group=scheme.group,
            activation=activation,
        )
    if isinstance(scheme, CodebookScheme):
        return PackedCodebook(
            read(f"{module}.weight_codes"),
            width,
            scales=scales,
            table=scheme.table,
            group=scheme.group,
            activation=activation,
        )
    offsets: Array | None = None
    if scheme.offset == "zero_point":
        offsets = unpack_zero_points(read(f"{module}.weight_zero_point"), rows)
    elif scheme.offset == "minimum":
        offsets = read(minimum_spec(name, scheme, shape).name)
    packed = _bytes(read(f"{module}.weight_packed"))
    return PackedInt4(packed, width, scales=scales, offsets=offsets, group=scheme.group, activation=activation)


def quantization_config(schemes: Mapping[str, Scheme], *, dense_modules: tuple[str, ...]) -> dict[str, Any]:
    """The `quantization_config` of config.json for the weights of linear modules by name.

    The scheme of most modules targets the class Linear, the others name theirs; `dense_modules` are ignored. A
    codebook is declared as a type that other tools do not know and therefore refuse: undeclared, they would fill the
    layers that they do not find with random weights.
    """
    members: dict[tuple[str, str], list[str]] = {}
    declared: dict[tuple[str, str], dict[str, Any]] = {}
    for name, scheme in schemes.items():
        group = _config_group(scheme)
        key = (str(group["weights"]), group["format"])
        members.setdefault(key, []).append(name.removesuffix(".weight"))
        declared[key] = group
    ordered = sorted(members, key=lambda key: -len(members[key]))
    groups = {
        f"group_{i}": {**declared[key], "targets": ["Linear"] if i == 0 else members[key]}
        for i, key in enumerate(ordered)
    }
    formats = {group["format"] for group in groups.values()}
    # transformers (5.23) sizes the parameters of a compressed layer without packing its zero points, so loading fails;
    # asked to dequantize while loading it reads them right. Other tools ignore the key.
    zero_points = any(not group["weights"]["symmetric"] for group in groups.values())
    return {
        **({"dequantize": True} if zero_points else {}),
        "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
        "format": formats.pop() if len(formats) == 1 else "mixed-precision",
        "config_groups": groups,
        "ignore": list(dense_modules),
        "kv_cache_scheme": None,
        "global_compression_ratio": None,
    }


def unpack_codes(packed: NDArray[np.int32], bits: int, width: int) -> NDArray[np.uint8]:
    """`weight_packed` of 4 or 8 bits to one unsigned code a byte, [out, width]."""
    unpacked = _bytes(packed) if bits == 8 else split_nibbles(_bytes(packed))
    return np.ascontiguousarray(unpacked[:, :width])


def pack_zero_points(zeros: NDArray[np.uint8]) -> NDArray[np.int32]:
    """uint8 0..15 [out, groups] to int32 [ceil(out / 8), groups], the first row in the low bits."""
    rows, groups = zeros.shape
    # Filling with 8 is a zero point of 0 in the signed range of the format.
    filled = np.pad(zeros, ((0, -rows % 8), (0, 0)), constant_values=8).reshape(-1, 8, groups).astype(np.uint32)
    words = np.zeros((filled.shape[0], groups), np.uint32)
    for i in range(8):
        words |= filled[:, i] << np.uint32(4 * i)
    return words.view(np.int32)


def unpack_zero_points(packed: NDArray[np.int32], rows: int) -> NDArray[np.uint8]:
    """The inverse of `pack_zero_points`."""
    words = np.ascontiguousarray(packed).view(np.uint32)[:, None, :]
    shifts = (np.arange(8, dtype=np.uint32) * np.uint32(4))[None, :, None]
    zeros = ((words >> shifts) & np.uint32(15)).astype(np.uint8)
    return np.ascontiguousarray(zeros.reshape(-1, packed.shape[1])[:rows])


def _config_group(scheme: Scheme) -> dict[str, Any]:
    assert not isinstance(scheme, DenseScheme)
    indices = isinstance(scheme, CodebookScheme)
    weights: dict[str, Any] = {
        "num_bits": 8 if isinstance(scheme, Int8Scheme) else 4,
        "type": "codebook" if indices else "int",
        "symmetric": not (isinstance(scheme, Int4Scheme) and scheme.offset != "symmetric"),
        "strategy": "channel" if scheme.group is None else "group",
        "group_size": scheme.group,
        "dynamic": False,
    }
    activations = None
    if is_w8a8(scheme):
        activations = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}
    return {
        "weights": weights,
        "input_activations": activations,
        "output_activations": None,
        "format": CODEBOOK_FORMAT if indices else "int-quantized" if is_w8a8(scheme) else "pack-quantized",
    }


def _shape(module: str, weight: Encoded) -> dict[str, Array]:
    return {f"{module}.weight_shape": np.array(weight.shape, np.int64)}


def _words(rows_of_bytes: NDArray[np.uint8]) -> NDArray[np.int32]:
    missing = -rows_of_bytes.shape[1] % 4
    if missing:
        rows_of_bytes = np.pad(rows_of_bytes, ((0, 0), (0, missing)))
    return np.ascontiguousarray(rows_of_bytes).view("<i4")


def _join_nibbles(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if codes.shape[1] % 2:
        codes = np.pad(codes, ((0, 0), (0, 1)))
    return codes[:, 0::2] | (codes[:, 1::2] << np.uint8(4))


def _bytes(packed: NDArray[np.int32]) -> NDArray[np.uint8]:
    return packed.view(np.uint8)
