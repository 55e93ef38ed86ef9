"""Round to nearest: every linear layer to int8, int4 or a codebook, each weight by itself, no calibration.

The rounding is in `encodings/`; this pass decides what each weight becomes. Embeddings, norms and biases stay dense.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import get_args

import numpy as np

from honed.compress.base import Inputs, Report, TensorReport, Weights
from honed.compress.linears import find_linears
from honed.compress.recipe import RoundToNearestSettings, Setting
from honed.encodings.base import Encoded
from honed.encodings.codebook import TABLES
from honed.encodings.codebook_encoder import encode_codebook
from honed.encodings.dense import Dense, float32_to_bfloat16
from honed.encodings.gguf_blocks import GgufBlocks
from honed.encodings.grouping import CHUNK_VALUES
from honed.encodings.int4 import Offset
from honed.encodings.int4_encoder import encode_int4
from honed.encodings.int8_encoder import encode_int8
from honed.encodings.scheme import CodebookScheme, DenseScheme, Group, Int4Scheme, Int8Scheme, Scheme, activation_scales
from honed.models.base import DecoderModel


@dataclass(frozen=True)
class RoundToNearest:
    settings: RoundToNearestSettings

    @property
    def name(self) -> str:
        return self.settings.kind

    def apply(self, model: DecoderModel, weights: Weights, *, threads: int, inputs: Inputs | None) -> RoundedWeights:
        """Plans every weight from its shape; the notes say where a group had to give way. Calibrates nothing."""
        linears = find_linears(model)
        chosen: dict[str, Setting] = {}
        schemes: dict[str, Scheme] = {}
        notes: list[str] = []
        quantized = {weight.name for weight in linears.layers} | {linears.head_name}
        for name, weight in weights.items():
            setting = self.settings.for_module(name.removesuffix(".weight")) if name in quantized else None
            if setting is None:
                schemes[name] = dense_scheme(weight)
                continue
            chosen[name] = setting
            offset = _offset(setting, weight)
            schemes[name] = fitting_scheme(setting, weight.shape[1], offset)
            if schemes[name] != (asked := fitting_scheme(setting, 128, offset)):
                notes.append(
                    f"{name}: {weight.shape[1]} inputs are not whole groups; {schemes[name]} instead of {asked}"
                )
        if any(isinstance(scheme, Int4Scheme) and scheme.offset == "minimum" for scheme in schemes.values()):
            notes.append(
                "int4 groups have the float minimums of the source, which honed alone reads: other tools see the "
                "nearest integer zero points, a much coarser model; int4-zero-point is the recipe for them"
            )
        return RoundedWeights(self.name, weights, schemes, chosen, tuple(notes), threads)


@dataclass
class RoundedWeights:
    """What `RoundToNearest.apply` gives: see `compress.base.Compressed`."""

    name: str
    source: Weights
    schemes: Mapping[str, Scheme]
    settings: Mapping[str, Setting]
    notes: tuple[str, ...]
    threads: int
    with_head: Set[str] = frozenset()
    inputs: Inputs | None = None
    done: dict[str, TensorReport] = field(default_factory=dict)

    def weight(self, name: str) -> Encoded:
        source, scheme = self.source[name], self.schemes[name]
        if isinstance(scheme, DenseScheme):
            return to_dense(source, scheme)
        encoded: Encoded
        activation = activation_scales(scheme)
        if isinstance(scheme, Int8Scheme):
            encoded = encode_int8(source, name=name, group=scheme.group, activation=activation, threads=self.threads)
        elif isinstance(scheme, CodebookScheme):
            encoded = encode_codebook(
                source,
                name=name,
                table=scheme.table,
                group=scheme.group,
                search=self.settings[name].weights.search,
                activation=activation,
                threads=self.threads,
            )
        else:
            encoded = encode_int4(
                source,
                name=name,
                group=scheme.group,
                offset=scheme.offset,
                search=self.settings[name].weights.search,
                activation=activation,
                threads=self.threads,
            )
        error = relative_error(source, encoded)
        self.done[name] = TensorReport(name, str(scheme), source.nbytes, encoded.nbytes, error)
        return encoded

    def report(self) -> Report:
        return Report(self.name, tuple(self.done.values()), self.notes)


def _offset(setting: Setting, weight: Encoded) -> Offset:
    """The offset of int4 groups that a setting means for a weight."""
    if setting.weights.offset != "source":
        return setting.weights.offset
    return weight.int4_offset if isinstance(weight, GgufBlocks) else "zero_point"


def fitting_scheme(setting: Setting, width: int, offset: Offset) -> Scheme:
    """The scheme of a setting for `width` inputs, with that offset where it has 4 bits.

    Groups must divide the width, as other readers of the artifact need it: the largest of 128, 64 and 32 that does
    and is not over the one asked for is taken, and where none does, int8 with one scale a channel and a token.
    """
    weights, activation = setting.weights, setting.activations.group
    group = _dividing(weights.group, width)
    if weights.group is not None and group is None:
        return Int8Scheme(None, None)
    if activation is not None:
        activation = _dividing(activation, width) if group is None else group
    if weights.bits == 8:
        return Int8Scheme(group, activation)
    assert group is not None  # 4 bits always have a group: WeightSettings
    if weights.codebook is not None:
        return CodebookScheme(group, TABLES[weights.codebook], activation)
    return Int4Scheme(group, offset, activation)


def dense_scheme(weight: Encoded) -> DenseScheme:
    """How an unquantized weight is stored: 16-bit types and vectors as they are, other matrices as bfloat16."""
    if isinstance(weight, Dense) and (weight.dtype != "float32" or len(weight.shape) < 2):
        return DenseScheme(weight.dtype)
    return DenseScheme("bfloat16" if len(weight.shape) > 1 else "float32")


def to_dense(weight: Encoded, scheme: DenseScheme) -> Dense:
    """The weight in the type of its scheme, rounded to nearest even where that is narrower."""
    if isinstance(weight, Dense) and weight.dtype == scheme.dtype:
        return weight
    if scheme.dtype == "bfloat16":
        values = np.empty(weight.shape, np.uint16)
        for rows in _row_chunks(weight.shape):
            values[rows] = float32_to_bfloat16(weight.decode(rows))
        return Dense(values, "bfloat16")
    return Dense(weight.decode().astype(scheme.dtype), scheme.dtype)


def relative_error(source: Encoded, encoded: Encoded) -> float:
    """|encoded - source| / |source| in the Frobenius norm, 0 for a zero weight. A range of rows is held at a time."""
    error = size = 0.0
    for rows in _row_chunks(source.shape):
        original = source.decode(rows).ravel()
        difference = encoded.decode(rows).ravel() - original
        error += float(np.dot(difference, difference))
        size += float(np.dot(original, original))
    return (error / size) ** 0.5 if size > 0 else 0.0


def _row_chunks(shape: tuple[int, ...]) -> list[slice]:
    step = max(1, CHUNK_VALUES // shape[-1])
    return [slice(first, min(first + step, shape[0])) for first in range(0, shape[0], step)]


def _dividing(group: Group | None, width: int) -> Group | None:
    if group is None:
        return None
    return next((size for size in reversed(get_args(Group)) if size <= group and width % size == 0), None)
