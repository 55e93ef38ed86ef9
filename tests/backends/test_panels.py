"""Every format has a builder, which takes the bytes that the format says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from honed.backends.panels import PANELS, borrowed_matrix, builder_of
from honed.encodings.codebook import TABLES, CodebookScheme
from honed.encodings.dense import DenseFormat
from honed.encodings.gguf_runs import BLOCK_FORMATS, BlocksFormat
from honed.encodings.int4 import Int4Scheme
from honed.encodings.int8 import Int8Scheme
from honed.encodings.scheme import SCHEMES, SparseScheme
from honed.native import extension
from honed.plan.formats import Format
from honed.plan.lowered import PANEL_COLUMNS, MatrixWeight

FORMATS: list[Format] = [
    DenseFormat("float32"),
    DenseFormat("bfloat16"),
    Int8Scheme(None, None),
    Int8Scheme(32, 32),
    Int4Scheme(32, "symmetric", None),
    Int4Scheme(64, "zero_point", None),
    Int4Scheme(32, "minimum", 32),
    CodebookScheme(32, TABLES["normal_float"], 32),
    CodebookScheme(128, TABLES["linear"], None),
    BlocksFormat("Q2_K"),
    BlocksFormat("Q3_K"),
    BlocksFormat("IQ4_XS"),
    BlocksFormat("IQ2_XS"),
    BlocksFormat("Q4_K"),
    BlocksFormat("Q5_K"),
    BlocksFormat("Q5_1"),
    BlocksFormat("Q6_K"),
]


def test_every_encoding_has_panels() -> None:
    assert set(SCHEMES) - {SparseScheme.name} < set(PANELS)  # which runs as int8
    assert {form.name for form in BLOCK_FORMATS.values()} < set(PANELS)
    assert PANELS.keys() == extension.MATRIX_FORMATS.keys()


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_a_format_says_of_its_kernels_what_they_do(form: Format) -> None:
    """A matrix of it is looked up in, and takes quantized rows, where the format says so and nowhere else."""
    columns, k, width = 2 * PANEL_COLUMNS, 256, 256
    matrix = builder_of(MatrixWeight(form, columns, k, ())).finish()
    group = form.activation_group or 0

    def plan(ops: list[tuple[str, dict[str, Any]]]) -> extension.Plan:
        rows = extension.Slot("f32", "tokens", width, 0, 0)
        before = extension.Slot("quantized" if form.quantizes else "f32", "tokens", k, group, 1)
        after = extension.Slot("f32", "tokens", columns, 0, 2)
        inputs = [extension.Input.floats("x", width), extension.Input.ids("ids", columns)]
        ones = extension.vector(np.ones(k, np.float32))
        return extension.Plan(ops, [rows, before, after], [matrix, ones], inputs, [("out", ops[-1][1]["output"])], [])

    read = ("float_rows", {"rows": 0, "output": 0, "width": width})
    quantize = ("quantize", {"input": 0, "output": 1, "width": k, "activation_group": group})
    multiply = (
        "matmul",
        {
            "input": 1 if form.quantizes else 0,
            "output": 2,
            "matrix": 0,
            "bias": None,
            "k": k,
            "columns": columns,
            "epilogue": "store",
            "factor": 1.0,
            "activation_group": group,
            "output_column": 0,
        },
    )
    assert plan([read, quantize, multiply] if form.quantizes else [read, multiply]).weight_bytes > matrix.nbytes
    look_up = ("embed_packed", {"ids": 1, "output": 0, "matrix": 0, "factors": 1, "width": width})
    if form.looked_up:
        assert plan([look_up]).weight_bytes > matrix.nbytes
    else:
        with pytest.raises(ValueError, match="must be int8, int4 or codebook, not"):
            plan([look_up])


@pytest.mark.parametrize("k", [64, 80, 576])
@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_bytes_are_those_that_the_extension_packs(form: Format, k: int) -> None:
    spec = MatrixWeight(form, 96, 256 * k if isinstance(form, BlocksFormat) else k, ())
    assert form.packed_bytes(spec.columns, spec.k) == builder_of(spec).finish().nbytes


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_panels_are_borrowed_where_they_lie(form: Format) -> None:
    spec = MatrixWeight(form, 96, 512, ())
    weight = builder_of(spec).finish()
    scales = weight.column_scales.view(np.uint8).data
    borrowed = borrowed_matrix(spec, weight.data.data, scales)
    assert (borrowed.kind, borrowed.nbytes) == (weight.kind, weight.nbytes)
    with pytest.raises(ValueError, match="bytes of panels"):
        borrowed_matrix(spec, weight.data.data[64:], scales)
