"""Which scheme each weight of a model gets by the settings of a pass that encodes: shapes only, nothing is computed."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import get_args

from honed.compress.base import Weights
from honed.compress.layer_settings import EncodingSettings, Setting
from honed.compress.linears import find_linears
from honed.encodings.base import Encoded
from honed.encodings.codebook import TABLES
from honed.encodings.gguf_blocks import GgufBlocks
from honed.encodings.int4 import Offset
from honed.encodings.scheme import CodebookScheme, Group, Int4Scheme, Int8Scheme, SparseScheme
from honed.encodings.weight_only import WeightOnly
from honed.models.base import Model

LayerScheme = Int8Scheme | Int4Scheme | CodebookScheme | SparseScheme


@dataclass(frozen=True)
class LayerSchemes:
    """`settings` and `schemes` of the weights that are to be encoded, in their order; the others stay as they are.
    `notes` say where a group had to give way."""

    settings: Mapping[str, Setting]
    schemes: Mapping[str, LayerScheme]
    notes: tuple[str, ...]


def choose_schemes(
    model: Model, weights: Weights, settings: EncodingSettings, among: Set[str] | None = None
) -> LayerSchemes:
    """For the linear layers and the head, or those `among` them, and no other weight is looked up. Embeddings, norms
    and biases stay as they are."""
    linears = find_linears(model)
    multiplied = {linears.head_name, *(weight.name for weight in linears.layers)}
    chosen: dict[str, Setting] = {}
    schemes: dict[str, LayerScheme] = {}
    notes: list[str] = []
    for name in weights if among is None else (name for name in weights if name in among):
        setting = settings.for_module(name.removesuffix(".weight")) if name in multiplied else None
        if setting is None:
            continue
        weight = weights[name]
        width, offset = weight.shape[1], _offset(setting, weight)
        chosen[name], schemes[name] = setting, fitting_scheme(setting, width, offset)
        if schemes[name] != (asked := fitting_scheme(setting, 128, offset)):
            notes.append(f"{name}: {width} inputs are not whole groups; {schemes[name]} instead of {asked}")
    return LayerSchemes(chosen, schemes, tuple(notes))


def _offset(setting: Setting, weight: Encoded) -> Offset:
    """The offset of int4 groups that a setting means for a weight."""
    if setting.weights.offset != "source":
        return setting.weights.offset
    return weight.int4_offset if isinstance(weight, GgufBlocks | WeightOnly) else "zero_point"


def fitting_scheme(setting: Setting, width: int, offset: Offset) -> LayerScheme:
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
    if weights.sparse is not None and group is not None:
        return SparseScheme(weights.sparse, group, activation)
    if weights.bits == 8:
        return Int8Scheme(group, activation)
    assert group is not None  # 4 bits always have a group: WeightSettings
    if weights.codebook is not None:
        table = None if weights.codebook == "learned" else TABLES[weights.codebook]
        return CodebookScheme(group, table, activation)
    return Int4Scheme(group, offset, activation)


def _dividing(group: Group | None, width: int) -> Group | None:
    if group is None:
        return None
    return next((size for size in reversed(get_args(Group)) if size <= group and width % size == 0), None)
