"""Products of the interpreter's matrices against float64 over decoded weights and codes."""

from __future__ import annotations

import numpy as np
import pytest

from honed.backends.float32 import quantize
from honed.backends.matrices import DenseMatrix, IntegerMatrix, QuantizedRows, read_matrix
from honed.encodings.activation import ActivationScales
from honed.encodings.base import Encoded
from honed.encodings.codebook import TABLES
from honed.encodings.codebook_encoder import encode_codebook
from honed.encodings.dense import Dense
from honed.encodings.int4 import Offset
from honed.encodings.int4_encoder import encode_int4
from honed.encodings.int8_encoder import encode_int8
from honed.models.recorded import recorded
from honed.models.registry import read_model
from honed.plan.formats import DenseFormat, format_of
from honed.plan.lowered import MatrixWeight, Placement
from honed.plan.source import PlanSource
from tiny_models import MemoryCheckpoint, golden

RANDOM = np.random.default_rng(3)
VALUES = RANDOM.standard_normal((24, 72)).astype(np.float32)
X = RANDOM.standard_normal((3, 72)).astype(np.float32)


def source_of(weight: Encoded) -> PlanSource:
    graph = recorded(read_model(golden("llama2").checkpoint.config))
    return PlanSource(MemoryCheckpoint({}, {"w": weight}), graph)


def matrix_of(weight: Encoded, tile_step: int = 1) -> DenseMatrix | IntegerMatrix:
    part = Placement("w", 24, first_column=0, tile_step=tile_step)
    return read_matrix(MatrixWeight(format_of(weight, "auto"), 64, 72, (part,)), source_of(weight))


@pytest.mark.parametrize("activation", [None, 32])
@pytest.mark.parametrize(
    "kind", ["int8", "int8 group", "int4 symmetric", "int4 zero_point", "int4 minimum", "codebook"]
)
def test_integer_products(kind: str, activation: int | None) -> None:
    offsets: dict[str, Offset] = {"symmetric": "symmetric", "zero_point": "zero_point", "minimum": "minimum"}
    dense, scales = Dense(VALUES, "float32"), ActivationScales(activation)
    weight: Encoded
    if kind.startswith("int8"):
        group = 32 if "group" in kind else None
        weight = encode_int8(dense, name="w", group=group, activation=scales)
    elif kind == "codebook":
        weight = encode_codebook(dense, name="w", table=TABLES["normal_float"], activation=scales)
    else:
        weight = encode_int4(dense, name="w", group=32, offset=offsets[kind.split()[1]], activation=scales)
    codes, x_scales = quantize(X, activation)
    matrix = matrix_of(weight)
    assert isinstance(matrix, IntegerMatrix)
    product = matrix.product(QuantizedRows(codes, x_scales))
    x = codes * np.repeat(x_scales.astype(np.float64), activation or 72, axis=1)[:, :72]
    np.testing.assert_allclose(product[:, :24], x @ weight.decode().T.astype(np.float64), rtol=1e-5, atol=1e-5)
    assert not product[:, 24:].any()


def test_dense_products_and_interleaved_columns() -> None:
    matrix = matrix_of(Dense(VALUES, "float32"), tile_step=2)
    assert isinstance(matrix, DenseMatrix)
    product = matrix.product(X)
    exact = X.astype(np.float64) @ VALUES.T
    np.testing.assert_allclose(product[:, :16], exact[:, :16], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(product[:, 32:40], exact[:, 16:], rtol=1e-4, atol=1e-5)
    assert not product[:, 16:32].any()
    assert not product[:, 40:].any()


def test_bfloat16_rounds_what_is_stored_wider() -> None:
    part = Placement("w", 24, first_column=0, tile_step=1)
    spec = MatrixWeight(DenseFormat("bfloat16"), 32, 72, (part,))
    matrix = read_matrix(spec, source_of(Dense(VALUES, "float32")))
    assert isinstance(matrix, DenseMatrix)
    assert not (matrix.values.view(np.uint32) & 0xFFFF).any()
    np.testing.assert_allclose(matrix.values[:24], VALUES, rtol=2**-8)
