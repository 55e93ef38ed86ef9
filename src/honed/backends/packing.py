"""Puts the weights of a plan into the forms that the executor reads: mapped arrays go straight to the builders.

Integer weights are placed as they lie in the file, and so are GGUF blocks that run as integers. Any other
encoding is decoded a few rows at a time, so that no whole weight is ever held as float32. What was read of the files
is given back as it is packed, or in the end a model would be held twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from honed.backends.panels import PANELS, builder_of
from honed.backends.prepacked import borrowed_table
from honed.checkpoints.base import Checkpoint, Mapped
from honed.checkpoints.finite_weights import check_finite
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense, float32_to_bfloat16
from honed.encodings.gguf_blocks import GgufBlocks
from honed.encodings.gguf_integers import SuperBlocks, as_run
from honed.encodings.mxfp4 import Mxfp4
from honed.encodings.sparse import Sparse
from honed.errors import PlanError, UnsupportedError
from honed.native import extension
from honed.plan import lowered as low
from honed.plan.formats import DenseFormat, DensePolicy, Format, dense_dtype
from honed.plan.source import PlanSource

CHUNK_VALUES = 1 << 20


class Packer:
    """Makes the native weights of one plan.

    checkpoint: what they were read of; None for weights in memory, whose values are taken as they are. Errors name file
    and weight: FormatError for NaN or Inf, UnsupportedError for values that no kernel takes.
    """

    def __init__(self, checkpoint: Checkpoint | None, source: PlanSource, policy: DensePolicy) -> None:
        self._checkpoint = checkpoint
        self._source = source
        self._policy: DensePolicy = policy

    def pack_all(self, specs: Sequence[low.PlanWeight], threads: int) -> list[extension.Weight]:
        """The weights in order, so many at a time: reading, unpacking and checking a weight keep one thread busy."""
        from concurrent.futures import ThreadPoolExecutor

        order = sorted(range(len(specs)), key=lambda number: -_size(specs[number]))
        with ThreadPoolExecutor(threads, thread_name_prefix="pack") as pool:
            done = dict(zip(order, pool.map(lambda number: self.pack(specs[number]), order), strict=True))
        self._give_back()
        return [done[number] for number in range(len(specs))]

    def _give_back(self) -> None:
        if self._checkpoint is not None and isinstance(self._checkpoint, Mapped):
            self._checkpoint.give_back()

    def pack(self, spec: low.PlanWeight) -> extension.Weight:
        match spec:
            case low.MatrixWeight():
                return self._matrix(spec)
            case low.TableWeight(name=name):
                table = self._table(name)
                self._give_back()
                return table
            case low.LookupFactors(name=name):
                return extension.vector(self._source.lookup_factors(name))
            case low.VectorWeight(name=name):
                return extension.vector(self._vector(name))
            case low.ConstantWeight(values=values):
                return extension.vector(np.asarray(values, dtype=np.float32))
            case low.BiasWeight(columns=columns, parts=parts):
                bias = np.zeros(columns, dtype=np.float32)
                for part in parts:
                    bias[part.columns] = self._vector(part.name)
                return extension.vector(bias)

    def _check(self, name: str, weight: Encoded) -> None:
        # An artifact was checked when it was written and is covered by its checksums; its dense tables are large
        # enough that reading all of them once more would show at every start. Builders check scales by themselves.
        if self._checkpoint is None:
            return
        if self._checkpoint.kind != "artifact" or len(weight.shape) == 1:
            check_finite(self._checkpoint.path, name, weight)

    def _vector(self, name: str) -> NDArray[np.float32]:
        weight = self._source.weight(name)
        self._check(name, weight)
        return np.ascontiguousarray(weight.decode(), dtype=np.float32)

    def _table(self, name: str) -> extension.Weight:
        weight = self._source.weight(name)
        self._check(name, weight)
        borrowed = borrowed_table(weight, self._policy)
        if borrowed is not None:
            return borrowed
        dtype = dense_dtype(weight, self._policy)
        table = np.empty(weight.shape, dtype=np.float32 if dtype == "float32" else np.uint16)
        for rows in _chunks(weight, CHUNK_VALUES):
            values = weight.decode(rows)
            table[rows] = values if dtype == "float32" else float32_to_bfloat16(values)
        return extension.table(table, dtype)

    def _matrix(self, spec: low.MatrixWeight) -> extension.Weight:
        builder, panels = builder_of(spec), PANELS[spec.format.name]
        for part in spec.parts:
            weight = self._source.matrix(part.name)
            self._check(part.name, weight)
            try:
                for first_row, rows in _in_pieces(spec.format, weight):
                    if rows.kind != spec.format.name:
                        raise PlanError(f"{part.name}: is {rows.kind}, and was planned as {spec.format}")
                    panels.place(builder, rows, part.first_column + first_row * part.tile_step, part.tile_step)
                    self._give_back()
            except ValueError as error:
                where = "" if self._checkpoint is None else f"{self._checkpoint.path}: "
                raise UnsupportedError(f"{where}{part.name}: cannot be run: {error}") from error
        return builder.finish()


def _in_pieces(form: Format, weight: Encoded) -> Iterator[tuple[int, Encoded | SuperBlocks]]:
    """A weight as rows behind each other, each with the number of its first, so that little of it is held at a time.

    Codes stay whole: they come whole from the file, and builders say which row they refuse.
    """
    if isinstance(weight, Dense):
        for rows in _chunks(weight, CHUNK_VALUES):
            yield rows.start, weight.part(rows)
    elif isinstance(form, DenseFormat):
        for rows in _chunks(weight, CHUNK_VALUES):
            yield rows.start, Dense(weight.decode(rows), "float32")
    elif isinstance(weight, GgufBlocks):
        for rows in _chunks(weight, CHUNK_VALUES):
            yield rows.start, as_run(weight.part(rows))
    elif isinstance(weight, Mxfp4):
        for rows in _chunks(weight, CHUNK_VALUES):
            yield rows.start, weight.part(rows).as_run()
    elif isinstance(weight, Sparse):
        for rows in _chunks(weight, CHUNK_VALUES):
            yield rows.start, weight.as_run(rows)
    else:
        yield 0, weight


def _size(spec: low.PlanWeight) -> int:
    """Values, so that the largest weight is begun first: at the end none is left over, and none that is read whole
    adds its pages to a model that is packed already."""
    if isinstance(spec, low.TableWeight):
        return spec.rows * spec.width
    return spec.columns * spec.k if isinstance(spec, low.MatrixWeight) else 0


def _chunks(weight: Encoded, values: int) -> Iterator[slice]:
    """Ranges of rows of about so many values, each starting at a whole tile of 16 rows."""
    count, width = weight.shape[0], weight.shape[1]
    step = max(low.TILE_COLUMNS, values // max(width, 1) // low.TILE_COLUMNS * low.TILE_COLUMNS)
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))
