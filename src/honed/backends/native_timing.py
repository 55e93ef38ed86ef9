"""How long a linear layer by itself takes on the native executor: its input quantized, where its form asks for that,
and multiplied.

Weights of few rows come from copies that together exceed the caches of a core, as they do when a whole model streams
by. Not here: what is kept of the times (`native_costs.py`).
"""

from __future__ import annotations

import time

import numpy as np

from honed.backends.native_piece import Piece, RowBatch
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense, DenseFormat, float32_to_bfloat16
from honed.encodings.descriptor import Format
from honed.encodings.encode import encode
from honed.errors import UnsupportedError
from honed.ops.graph import Graph, Statement
from honed.ops.operation import Operation
from honed.ops.table import FloatRows, Linear
from honed.ops.values import Value, Weight

STREAMED_BYTES = 64 << 20
"""Of all copies together: many times what a core has for itself."""
FEW_ROWS = 64
"""Up to so many rows, reading the weights is what takes the time."""
_CALLS = 7
_AGREEMENT = 1.05
_MOST_SECONDS = 4.0
_MOST_RESULTS = 1 << 26
"""Bytes of the results of all copies together, which are all kept."""


def time_linear(shape: tuple[int, int], form: Format, rows: int, *, threads: int, isa: str | None = None) -> float:
    """Seconds of a layer `shape` (out, in) whose weight kernels read in that form, over a batch of `rows`.

    Of each copy the quickest of several calls counts: what else the machine does makes others slower and none faster.
    On a busy machine calls are repeated, for seconds at most, until two are about as quick.
    UnsupportedError for a form that nothing is rounded into; NativeError and MachineError as of `Piece`.
    """
    copies = _copies(shape, form, rows)
    rng = np.random.default_rng(0)
    weight = _random(shape, form, rng)
    names = [f"copy {number}" for number in range(copies)]
    # Without fusions, or copies that read one input could become one matrix.
    piece = Piece(
        _side_by_side(names, shape),
        dict.fromkeys(names, weight),
        rows,
        threads,
        as_stored=frozenset(names),
        isa=isa,
        fusions=(),
    )
    given = rng.normal(size=(rows, shape[1])).astype(np.float32)
    batch = RowBatch({"x": given}, np.zeros(rows, np.int32), np.arange(rows, dtype=np.int32))
    calls: list[list[float]] = []
    quantized: list[float] = []
    started = time.perf_counter()
    while True:
        spent = piece.profile(batch)
        calls.append([seconds for name, seconds in spent if name == "matmul"])
        quantized.append(sum(seconds for name, seconds in spent if name.startswith("quantize")))
        if len(calls) >= _CALLS and (_settled(calls) or time.perf_counter() - started > _MOST_SECONDS):
            return float(np.min(calls, axis=0).mean() + min(quantized))


def _settled(calls: list[list[float]]) -> bool:
    """Whether the quickest is no stroke of luck: the second of each copy is hardly slower."""
    first, second = np.partition(calls, 1, axis=0)[:2].mean(axis=1)
    return bool(second <= _AGREEMENT * first)


def _copies(shape: tuple[int, int], form: Format, rows: int) -> int:
    if rows > FEW_ROWS:
        return 1
    count, width = shape
    of_weights = -(-STREAMED_BYTES // form.packed_bytes(count, width))
    return max(1, min(of_weights, _MOST_RESULTS // (4 * rows * count)))


def _side_by_side(names: list[str], shape: tuple[int, int]) -> Graph:
    """One input that is multiplied with every weight."""
    values: list[Value] = []
    statements: list[Statement] = []
    operations: list[Operation] = [FloatRows((), "x", shape[1])]
    operations += [Linear((0,), Weight(name, shape), None) for name in names]
    for number, operation in enumerate(operations):
        values.append(operation.infer([values[operand] for operand in operation.inputs]))
        statements.append(Statement(number, operation, values[-1]))
    return Graph(tuple(statements), {name: number for number, name in enumerate(names, 1)})


def _random(shape: tuple[int, int], form: Format, rng: np.random.Generator) -> Encoded:
    values = rng.normal(size=shape).astype(np.float32) * np.float32(0.02)
    if isinstance(form, DenseFormat):
        return Dense(values, "float32") if form.dtype == "float32" else Dense(float32_to_bfloat16(values), "bfloat16")
    dense = Dense(values, "float32")
    try:
        return encode(dense, form, name="a random weight", search=False)  # type: ignore[arg-type]
    except TypeError as error:
        raise UnsupportedError(f"{form}: there is no time of a form that nothing is rounded into") from error
