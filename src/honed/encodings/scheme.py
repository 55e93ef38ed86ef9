"""What an encoding will be, known before any weight is read: for plans, sizes, manifests and checks.

A scheme is to an encoding what a type is to a value. `nbytes` is exact, so free space can be checked and file
headers laid out before the first weight is touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from honed.encodings.activation import ActivationScales
from honed.encodings.base import Encoded
from honed.encodings.codebook import Codebook, Table, check_table, table_name
from honed.encodings.dense import Dense, DenseType
from honed.encodings.int4 import Int4, Offset
from honed.encodings.int8 import Int8
from honed.errors import ParameterError
from honed.records import dataclass

Group = Literal[32, 64, 128]
OFFSET_BYTES: dict[Offset, int] = {"symmetric": 0, "zero_point": 1, "minimum": 2}
"""Of the offset of one int4 group."""
_DENSE_BYTES: dict[DenseType, int] = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class DenseScheme:
    """Value by value, in `dtype`."""

    dtype: DenseType

    def nbytes(self, shape: tuple[int, ...]) -> int:
        return _DENSE_BYTES[self.dtype] * _count(shape)

    def __str__(self) -> str:
        return f"dense {self.dtype}"


@dataclass(frozen=True)
class Int8Scheme:
    """`group` inputs share a float16 scale, or a row a float32 one; so many features share an activation scale."""

    group: Group | None
    activation_group: Group | None = None

    def nbytes(self, shape: tuple[int, ...]) -> int:
        rows, width = shape
        scales = 4 * rows if self.group is None else 2 * rows * -(-width // self.group)
        return rows * width + scales

    def __str__(self) -> str:
        weights = "per channel" if self.group is None else f"group {self.group}"
        return f"int8 {weights}, {_activation(self.activation_group)}"


@dataclass(frozen=True)
class Int4Scheme:
    """`group` inputs share a float16 scale and, by `offset`, an integer zero point or a float16 minimum."""

    group: Group
    offset: Offset
    activation_group: Group | None = None

    def nbytes(self, shape: tuple[int, ...]) -> int:
        rows, width = shape
        groups = -(-width // self.group)
        return (rows * width + 1) // 2 + rows * groups * (2 + OFFSET_BYTES[self.offset])

    def __str__(self) -> str:
        return f"int4 group {self.group} {self.offset.replace('_', ' ')}, {_activation(self.activation_group)}"


@dataclass(frozen=True)
class CodebookScheme:
    """4-bit indices of sixteen int8 values; `group` inputs share a float16 scale."""

    group: Group
    table: Table
    activation_group: Group | None = None

    def nbytes(self, shape: tuple[int, ...]) -> int:
        rows, width = shape
        return rows * (-(-width // 2) + 2 * -(-width // self.group))

    def __str__(self) -> str:
        return f"codebook {table_name(self.table)} group {self.group}, {_activation(self.activation_group)}"


Scheme = DenseScheme | Int8Scheme | Int4Scheme | CodebookScheme


def scheme_of(weight: Encoded) -> Scheme:
    """The scheme of an encoded weight. Encodings that only a source file has (gguf) have none: TypeError."""
    if isinstance(weight, Dense):
        return DenseScheme(weight.dtype)
    if isinstance(weight, Int8):
        return Int8Scheme(as_group(weight.group), as_group(weight.activation.group))
    if isinstance(weight, Int4):
        return Int4Scheme(_required(weight.group), weight.offset, as_group(weight.activation.group))
    if isinstance(weight, Codebook):
        return CodebookScheme(_required(weight.group), weight.table, as_group(weight.activation.group))
    raise TypeError(f"no scheme describes the encoding {weight.kind}")


def to_json(scheme: Scheme) -> dict[str, Any]:
    """Plain values, for a manifest."""
    if isinstance(scheme, DenseScheme):
        return {"encoding": "dense", "dtype": scheme.dtype}
    if isinstance(scheme, Int8Scheme):
        return {"encoding": "int8", "group": scheme.group, "activation_group": scheme.activation_group}
    if isinstance(scheme, CodebookScheme):
        groups = {"group": scheme.group, "activation_group": scheme.activation_group}
        return {"encoding": "codebook", "table": list(scheme.table), **groups}
    return {
        "encoding": "int4",
        "group": scheme.group,
        "offset": scheme.offset,
        "activation_group": scheme.activation_group,
    }


def from_json(value: Mapping[str, Any]) -> Scheme:
    """The inverse of `to_json`. ParameterError names the field that is wrong."""
    encoding = value.get("encoding")
    if encoding == "dense":
        dtype = value.get("dtype")
        if dtype not in _DENSE_BYTES:
            raise ParameterError("dtype", dtype, f"must be one of {', '.join(_DENSE_BYTES)}")
        return DenseScheme(dtype)
    if encoding == "int8":
        return Int8Scheme(as_group(value.get("group")), as_group(value.get("activation_group")))
    if encoding == "int4":
        offset = value.get("offset")
        if offset not in OFFSET_BYTES:
            raise ParameterError("offset", offset, f"must be one of {', '.join(OFFSET_BYTES)}")
        return Int4Scheme(_required(value.get("group")), offset, as_group(value.get("activation_group")))
    if encoding == "codebook":
        values = value.get("table")
        if not isinstance(values, list):
            raise ParameterError("table", values, "must be a list of sixteen integers")
        table = tuple(values)
        check_table(table)
        return CodebookScheme(_required(value.get("group")), table, as_group(value.get("activation_group")))
    raise ParameterError("encoding", encoding, "must be dense, int8, int4 or codebook")


def as_group(value: object) -> Group | None:
    """A group size or None; ParameterError for anything else."""
    return None if value is None else _required(value)


def activation_scales(scheme: Int8Scheme | Int4Scheme | CodebookScheme) -> ActivationScales:
    return ActivationScales(scheme.activation_group)


def _required(value: object) -> Group:
    for group in get_args(Group):
        if value == group and not isinstance(value, bool):
            return group  # type: ignore[no-any-return]
    raise ParameterError("group", value, "must be 32, 64 or 128")


def _activation(group: int | None) -> str:
    return "activations per token" if group is None else f"activations in groups of {group}"


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for extent in shape:
        count *= extent
    return count
