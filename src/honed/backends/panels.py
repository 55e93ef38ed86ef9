"""Who packs which format: for each the builder of the extension, how it takes a weight, and its panels from before.

The one place where encodings and the extension meet; a new encoding is one entry of `PANELS`. Which rows go where is in
`packing.py`, and what is kept from one start to the next in `prepacked.py`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from honed.encodings.codebook import Codebook, CodebookScheme
from honed.encodings.dense import Dense, DenseFormat
from honed.encodings.gguf_runs import BlocksFormat
from honed.encodings.int4 import Int4, Int4Scheme
from honed.encodings.int8 import Int8, Int8Scheme
from honed.lazy_imports import numpy as np
from honed.native import extension
from honed.plan.formats import Format
from honed.plan.lowered import MatrixWeight
from honed.records import dataclass

if TYPE_CHECKING:
    from honed.encodings.gguf_integers import SuperBlocks

Builder = (
    extension.DenseBuilder
    | extension.Int8Builder
    | extension.Int4Builder
    | extension.CodebookBuilder
    | extension.BlocksBuilder
)
F = TypeVar("F", bound=Format)
B = TypeVar("B", bound=Builder)
W = TypeVar("W")


@dataclass(frozen=True)
class Panels(Generic[F, B, W]):
    """`builder` of a format, columns and k; `place` of a weight of the encoding at a first column and a tile step;
    `borrowed` of a format, columns, k, the panels and the column scales as they were kept."""

    builder: Callable[[F, int, int], B]
    place: Callable[[B, W, int, int], None]
    borrowed: Callable[[F, int, int, memoryview, memoryview], extension.Weight]


def builder_of(spec: MatrixWeight) -> Builder:
    """An empty builder for a matrix of a plan."""
    builder: Builder = PANELS[spec.format.name].builder(spec.format, spec.columns, spec.k)
    return builder


def borrowed_matrix(spec: MatrixWeight, panels: memoryview, scales: memoryview) -> extension.Weight:
    """The matrix over panels that were packed before. ValueError if their size is not that of the plan."""
    return PANELS[spec.format.name].borrowed(spec.format, spec.columns, spec.k, panels, scales)


# Arrays of scales and offsets are contiguous as they are made; as they are read, codes may be rows of longer ones.


def _place_dense(builder: extension.DenseBuilder, weight: Dense, first: int, step: int) -> None:
    builder.place(np.ascontiguousarray(weight.values), weight.dtype, first, step)


def _place_int8(builder: extension.Int8Builder, weight: Int8, first: int, step: int) -> None:
    builder.place(np.ascontiguousarray(weight.codes), weight.scales, first, step)


def _place_int4(builder: extension.Int4Builder, weight: Int4, first: int, step: int) -> None:
    scales = np.ascontiguousarray(weight.scales)
    builder.place(np.ascontiguousarray(weight.codes), scales, weight.offsets, first, step)


def _place_codebook(builder: extension.CodebookBuilder, weight: Codebook, first: int, step: int) -> None:
    builder.place(np.ascontiguousarray(weight.codes), np.ascontiguousarray(weight.scales), first, step)


def _place_blocks(builder: extension.BlocksBuilder, weight: SuperBlocks, first: int, step: int) -> None:
    builder.place(weight.codes, weight.d, weight.m, weight.levels, first, step)


_DENSE: Panels[DenseFormat, extension.DenseBuilder, Dense] = Panels(
    lambda form, n, k: extension.DenseBuilder(n, k, form.dtype),
    _place_dense,
    lambda form, n, k, panels, _: extension.prepacked_dense(n, k, form.dtype, panels),
)
_INT8: Panels[Int8Scheme, extension.Int8Builder, Int8] = Panels(
    lambda form, n, k: extension.Int8Builder(n, k, form.group),
    _place_int8,
    lambda form, n, k, panels, scales: extension.prepacked_int8(n, k, form.group, panels, scales.cast("f")),
)
_INT4: Panels[Int4Scheme, extension.Int4Builder, Int4] = Panels(
    lambda form, n, k: extension.Int4Builder(n, k, form.group, form.offset),
    _place_int4,
    lambda form, n, k, panels, _: extension.prepacked_int4(n, k, form.group, form.offset, panels),
)
_CODEBOOK: Panels[CodebookScheme, extension.CodebookBuilder, Codebook] = Panels(
    lambda form, n, k: extension.CodebookBuilder(n, k, form.group, np.array(form.values, dtype=np.int8)),
    _place_codebook,
    lambda form, n, k, panels, _: extension.prepacked_codebook(
        n, k, form.group, memoryview(array("b", form.values)), panels
    ),
)
_BLOCKS: Panels[BlocksFormat, extension.BlocksBuilder, SuperBlocks] = Panels(
    lambda form, n, k: extension.BlocksBuilder(n, k, form.type_name),
    _place_blocks,
    lambda form, n, k, panels, _: extension.prepacked_blocks(n, k, form.type_name, panels),
)
PANELS: dict[str, Panels[Any, Any, Any]] = {
    DenseFormat.name: _DENSE,
    Int8Scheme.name: _INT8,
    Int4Scheme.name: _INT4,
    CodebookScheme.name: _CODEBOOK,
    BlocksFormat.name: _BLOCKS,
}
"""By the name of a format, which is the kind of the weights that it takes."""
