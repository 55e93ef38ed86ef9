"""Reads directories that other tools compressed: compressed-tensors, pack-quantized and int-quantized integers.

A layer whose config asks for dynamic int8 activations, as this engine runs them, keeps its codes. Weight-only ones run
as what they decode to, since int8 activations would make another model than was measured, and keep their codes for who
compresses them (`encodings/weight_only.py`). Every other layer is decoded. Not here: artifacts of this project
(`artifact/`), the layouts (`format.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.checkpoints.base import Kind
from honed.checkpoints.compressed_tensors.config import LayerConfig, read_layers
from honed.checkpoints.compressed_tensors.format import unpack_codes
from honed.checkpoints.huggingface.checkpoint import check_directory, dense_weight
from honed.checkpoints.huggingface.directory import Directory
from honed.checkpoints.stored_forms import names_in_model, weight_of
from honed.encodings.activation import ActivationScales
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.encodings.int4 import Int4
from honed.encodings.int8 import Int8
from honed.encodings.weight_only import WeightOnly
from honed.encodings.words import unpack_zero_points
from honed.errors import FormatError
from honed.text.tokenizer import Tokenizer

Codes = NDArray[np.int8]
_PARTS = (".weight_scale", ".weight_shape", ".weight_zero_point", ".weight_g_idx", ".input_scale")


class CompressedCheckpoint:
    """A directory whose config.json has a compressed-tensors `quantization_config`.

    Errors: as `Directory`; UnsupportedError for other formats or float types, FormatError where config and tensors
    disagree.
    """

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._layers = read_layers(directory.config, directory.config_path)
        self._tensors = frozenset(directory.names)
        self._stored = tuple(
            name.replace(".weight_packed", ".weight") for name in directory.names if not name.endswith(_PARTS)
        )
        shapes = {name: self._shape(name) for name in self._stored}
        self._config, self._forms = check_directory(directory, shapes)

    @property
    def kind(self) -> Kind:
        return "huggingface"

    @property
    def path(self) -> Path:
        return self._directory.path

    @property
    def config(self) -> Mapping[str, Any]:
        return self._config

    @property
    def files(self) -> tuple[Path, ...]:
        return self._directory.files

    @property
    def names(self) -> tuple[str, ...]:
        return names_in_model(self._stored, self._forms)

    def weight(self, name: str) -> Encoded:
        """A compressed layer as codes or decoded to dense float32 (see above), anything else as it lies."""
        return weight_of(name, self._forms, self._tensor)

    def _tensor(self, name: str) -> Encoded:
        module = name.removesuffix(".weight")
        if not self._has(f"{module}.weight_scale"):
            return dense_weight(self._directory, name)
        layer = self._layers.of(module)
        if layer is None:
            raise FormatError(self._directory.config_path, "config_groups", f"none names {module}, which has scales")
        rows, width = self._shape(name)
        codes = self._codes(name, layer, width)
        scales = self._scales(module, layer, rows, width)
        zeros = self._zeros(module, layer, scales.shape)
        return _kept(codes, scales, zeros, layer) or Dense(_decoded(codes, scales, zeros, layer, width), "float32")

    def tokenizer(self) -> Tokenizer:
        from honed.checkpoints.huggingface.tokenizer import read_tokenizer

        return read_tokenizer(self._directory)

    def give_back(self) -> None:
        self._directory.give_back()

    def _has(self, tensor: str) -> bool:
        return tensor in self._tensors

    def _shape(self, name: str) -> tuple[int, ...]:
        """Logical shape; that of a packed weight is stored, and must fit what is packed."""
        module = name.removesuffix(".weight")
        packed = f"{module}.weight_packed"
        if not self._has(packed):
            return self._directory.entry(name).shape
        layer = self._layers.of(module)
        stored = self._directory.tensor(f"{module}.weight_shape") if self._has(f"{module}.weight_shape") else None
        if layer is None or stored is None or stored.shape != (2,) or self._directory.entry(packed).dtype != "I32":
            raise FormatError(self.path, packed, "needs a config group, int32 words and a weight_shape of two sizes")
        rows, width = int(stored[0]), int(stored[1])
        expected = (rows, -(-width * layer.bits // 32))
        if min(rows, width) < 1 or self._directory.entry(packed).shape != expected:
            raise FormatError(self.path, packed, f"is {self._directory.entry(packed).shape}, must be {expected}")
        return rows, width

    def _codes(self, name: str, layer: LayerConfig, width: int) -> Codes:
        """Signed codes, -8..7 or -128..127."""
        packed = name.removesuffix(".weight") + ".weight_packed"
        if self._has(packed):
            unsigned = unpack_codes(self._directory.tensor(packed), layer.bits, width)
            return (unsigned - np.uint8(1 << (layer.bits - 1))).view(np.int8)
        if self._directory.entry(name).dtype != "I8":
            raise FormatError(self.path, name, f"is {self._directory.entry(name).dtype} beside scales, must be I8")
        return self._directory.tensor(name)

    def _scales(self, module: str, layer: LayerConfig, rows: int, width: int) -> NDArray[np.float32]:
        name = f"{module}.weight_scale"
        values = dense_weight(self._directory, name).decode()
        expected = (rows, 1 if layer.group is None else -(-width // layer.group))
        if values.shape not in (expected, (rows,)):
            raise FormatError(self.path, name, f"is {values.shape}, must be {expected}")
        return values.reshape(expected)

    def _zeros(self, module: str, layer: LayerConfig, shape: tuple[int, ...]) -> NDArray[np.int8] | None:
        """Signed zero points in the range of the codes."""
        if layer.symmetric:
            return None
        name = f"{module}.weight_zero_point"
        if not self._has(name):
            raise FormatError(self.path, name, "is missing, and the layer is not symmetric")
        entry = self._directory.entry(name)
        if entry.dtype == "I8" and entry.shape == shape:
            return self._directory.tensor(name)
        if layer.bits != 4 or entry.dtype != "I32" or entry.shape != (-(-shape[0] // 8), shape[1]):
            raise FormatError(self.path, name, f"is {entry.dtype} {entry.shape}, which does not fit scales of {shape}")
        return (unpack_zero_points(self._directory.tensor(name), shape[0]) - np.uint8(8)).view(np.int8)


def _kept(
    codes: Codes, scales: NDArray[np.float32], zeros: NDArray[np.int8] | None, layer: LayerConfig
) -> Encoded | None:
    """The layer in an encoding of this project, if nothing is lost."""
    if layer.weight_only:
        held = _held(codes, scales, zeros, layer, ActivationScales())
        return None if held is None else WeightOnly(held)
    if not layer.quantizes_activations or (
        layer.group is not None and layer.activation_group not in (None, layer.group)
    ):
        return None
    return _held(codes, scales, zeros, layer, ActivationScales(layer.activation_group))


def _held(
    codes: Codes,
    scales: NDArray[np.float32],
    zeros: NDArray[np.int8] | None,
    layer: LayerConfig,
    activation: ActivationScales,
) -> Int4 | Int8 | None:
    if layer.group is None:
        usable = layer.bits == 8 and zeros is None and codes.min() > -128
        return Int8(codes, scales[:, 0].copy(), None, activation) if usable else None
    with np.errstate(over="ignore"):
        halves = scales.astype(np.float16)
    if (halves.astype(np.float32) != scales).any():
        return None
    if layer.bits == 4:
        shifted = (codes.view(np.uint8) + np.uint8(8)) & np.uint8(15)
        return Int4(
            shifted, halves, None if zeros is None else zeros.view(np.uint8) + np.uint8(8), layer.group, activation
        )
    return Int8(codes, halves, layer.group, activation) if zeros is None and codes.min() > -128 else None


def _decoded(
    codes: Codes, scales: NDArray[np.float32], zeros: NDArray[np.int8] | None, layer: LayerConfig, width: int
) -> NDArray[np.float32]:
    group = layer.group or width
    values = codes.astype(np.float32)
    if zeros is not None:
        values -= np.repeat(zeros.astype(np.float32), group, axis=1)[:, :width]
    values *= np.repeat(scales, group, axis=1)[:, :width]
    return values
