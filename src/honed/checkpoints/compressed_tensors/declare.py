"""The `quantization_config` that an artifact has in its config.json: what other tools are told of its weights.

What they cannot read is declared as a type that they do not know and therefore refuse. Left out, it would be worse:
they fill a layer that they do not find with random weights, and warn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from honed.encodings.scheme import CodebookScheme, Int4Scheme, Int8Scheme, Scheme, SparseScheme
from honed.records import dataclass

CODEBOOK_FORMAT = "honed-codebook"
SPARSE_FORMAT = "honed-sparse"
OURS_ALONE = "honed alone; compress --portable for other tools"
"""As the type of a weight. Short: the message of a tool that refuses it shows some fifty characters."""


def quantization_config(
    schemes: Mapping[str, Scheme],
    *,
    dense_modules: tuple[str, ...],
    tied_table: str | None,
    own_names: bool = False,
) -> dict[str, Any]:
    """The `quantization_config` for the weights of linear modules by name.

    The scheme of most modules targets the class Linear, the others name theirs; `dense_modules` are ignored.
    `tied_table`: the table among the weights that lies there as the head that it is tied to, and nowhere else.
    `own_names`: other tools have other weights in their place; then something is declared also where there are none.
    """
    if own_names and not schemes:
        return _unread()
    members: dict[tuple[str, str], list[str]] = {}
    declared: dict[tuple[str, str], dict[str, Any]] = {}
    for name, scheme in schemes.items():
        group = _config_group(scheme, alone=own_names or name == tied_table)
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


def _unread() -> dict[str, Any]:
    """Of dense weights whose names other tools do not look for."""
    weights = {"num_bits": 16, "type": OURS_ALONE, "symmetric": True, "strategy": "channel", "dynamic": False}
    return {
        "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
        "format": "dense",
        "config_groups": {"group_0": {"weights": weights, "targets": ["Linear"]}},
        "ignore": [],
    }


@dataclass(frozen=True)
class Declared:
    """What compressed-tensors can say of a scheme: `bits`, `symmetric`, `layout` and `type_name` of its config group.

    `activations`: whether int8 activations are declared, one scale a token: the W8A8 scheme that other engines have.
    Grouped weights are declared weight-only. Engines that run them read float activations, and the activation scales
    of this project stand in the manifest.
    `unsaid`: suffixes of the tensors that it has no place for, and `told` the scheme without them that other tools may
    be told of; where it is None they cannot be told of any, and `card` says in the README what lies there.
    """

    bits: int
    told: Scheme | None
    symmetric: bool = True
    layout: str = "pack-quantized"
    type_name: str = "int"
    activations: bool = False
    unsaid: tuple[str, ...] = ()
    card: tuple[str, ...] = ()


def _int8(scheme: Int8Scheme) -> Declared:
    if scheme.plain:
        return Declared(8, scheme, layout="int-quantized", activations=True)
    return Declared(8, scheme)


def _int4(scheme: Int4Scheme) -> Declared:
    if scheme.offset == "minimum":
        told = Int4Scheme(scheme.group, "zero_point", scheme.activation_group)
        return Declared(4, told, symmetric=False, unsaid=("_minimum",))
    return Declared(4, scheme, symmetric=scheme.offset == "symmetric")


def _codebook(scheme: CodebookScheme) -> Declared:
    card = (
        "- no other tool: compressed-tensors has no place for indices of a codebook, and config.json declares a",
        "  type that others refuse. In model.safetensors `weight_codes` holds two indices a byte, the first in",
        "  the low bits, and `weight_scale` the scale of each group; the sixteen values are in honed.json.",
    )
    return Declared(4, None, layout=CODEBOOK_FORMAT, type_name="codebook", card=card)


def _sparse(scheme: SparseScheme) -> Declared:
    card = (
        "- no other tool: compressed-tensors has no place for integers in groups without their zeros, and config.json",
        "  declares a type that others refuse. In model.safetensors `weight_bitmask` holds a bit for each weight, the",
        "  first in the lowest bit, `weight_values` the int8 codes of those that are set, and `weight_scale` the scale",
        "  of each group.",
    )
    return Declared(8, None, layout=SPARSE_FORMAT, type_name="sparse", card=card)


_DECLARED: Mapping[str, Callable[[Any], Declared]] = {
    Int8Scheme.name: _int8,
    Int4Scheme.name: _int4,
    CodebookScheme.name: _codebook,
    SparseScheme.name: _sparse,
}
"""By the name of the encoding; dense weights are not declared."""


def declared(scheme: Scheme) -> Declared | None:
    """None for what is not declared, dense weights."""
    of_encoding = _DECLARED.get(scheme.name)
    return None if of_encoding is None else of_encoding(scheme)


def foreign_scheme(scheme: Scheme) -> Scheme:
    """The scheme that other tools are told of: with zero points where there are minimums."""
    found = declared(scheme)
    return scheme if found is None or found.told is None else found.told


def ours_alone(scheme: Scheme) -> bool:
    """Whether other tools cannot be told of any part of it: indices of a codebook, weights without their zeros."""
    found = declared(scheme)
    return found is not None and found.told is None


def unsaid(scheme: Scheme) -> tuple[str, ...]:
    """Suffixes of the tensors for which compressed-tensors has no place: float minimums of int4 groups."""
    found = declared(scheme)
    return () if found is None else found.unsaid


def has_minimums(scheme: Scheme) -> bool:
    """Whether int4 groups have float minimums."""
    return "_minimum" in unsaid(scheme)


def _config_group(scheme: Scheme, *, alone: bool) -> dict[str, Any]:
    found, group = _DECLARED[scheme.name](scheme), getattr(scheme, "group", None)
    weights: dict[str, Any] = {
        "num_bits": found.bits,
        "type": OURS_ALONE if found.told is not None and (alone or found.unsaid) else found.type_name,
        "symmetric": found.symmetric,
        "strategy": "channel" if group is None else "group",
        "group_size": group,
        "dynamic": False,
    }
    activations = None
    if found.activations:
        activations = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}
    return {
        "weights": weights,
        "input_activations": activations,
        "output_activations": None,
        "format": found.layout,
    }
