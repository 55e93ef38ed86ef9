"""The weights of a compressed model as an artifact stores them: each once, by the names of the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from honed.compress.dense import dense_scheme, row_chunks, to_dense
from honed.compress.linears import HEAD, find_linears, head_parts
from honed.compress.outcome import check_not_lost, check_outcome
from honed.compress.pipeline import Compressed
from honed.encodings.base import Encoded
from honed.encodings.scheme import DenseScheme, Scheme
from honed.encodings.tied_table import TiedTable


@dataclass(frozen=True)
class TensorReport:
    """What became of one weight. `relative_error` is |decoded - original| / |original| in the Frobenius norm."""

    name: str
    encoding: str
    bytes_before: int
    bytes_after: int
    relative_error: float


class StoredWeights:
    """`schemes` are known at once and exact; `weight` computes. A tied head that is encoded is the embedding table too,
    and what no pass encodes is dense."""

    def __init__(self, compressed: Compressed) -> None:
        self._compressed, state = compressed, compressed.state
        self._lines: dict[str, TensorReport] = {}
        linears = find_linears(state.model)
        has_head = linears.head_name in state.schemes
        self.tied_table = linears.embedding.name if has_head and linears.tied else None
        self.head = None if not has_head else self.tied_table or linears.head_name
        """The name of the head where it is encoded."""
        self._exact = head_parts(state.model)
        names = (name for name in state.weights if not (linears.tied and name == HEAD))
        self.schemes: dict[str, Scheme] = {name: self._scheme(self._origin(name)) for name in names}

    def weight(self, name: str) -> Encoded:
        """Computes one weight, the table as a `TiedTable`. Not kept: a second call computes it again.

        OutcomeError where it is not what the recipe asks for (`outcome.py`)."""
        origin, scheme, state = self._origin(name), self.schemes[name], self._compressed.state
        weight = state.weights[origin]
        shape = state.model.weights()[name].shape
        if origin not in state.schemes:
            assert isinstance(scheme, DenseScheme)
            dense = to_dense(weight, scheme)
            check_outcome(self._compressed.passes[-1], name, dense, shape, scheme)
            return dense
        step, source = self._compressed.encoded_by(origin), self._compressed.in_full(origin)
        check_outcome(step, origin, weight, shape, scheme)
        check_not_lost(step, origin, weight, source)
        error = relative_error(source, weight)
        self._lines[origin] = TensorReport(origin, str(scheme), source.nbytes, weight.nbytes, error)
        if name != self.tied_table:
            return weight
        factors, ones = state.tied_head.product(), np.ones(weight.shape[1:], np.float32)
        return TiedTable(weight, ones if factors is None else ones / factors)

    def error(self, name: str) -> float | None:
        """The relative error of a weight that was computed, None for a dense one."""
        line = self._lines.get(self._origin(name))
        return None if line is None else line.relative_error

    def reports(self) -> tuple[TensorReport, ...]:
        """A line for each encoded weight that was computed so far. A tied head is there under its own name."""
        return tuple(self._lines.values())

    def _origin(self, name: str) -> str:
        return HEAD if name == self.tied_table else name

    def _scheme(self, origin: str) -> Scheme:
        state = self._compressed.state
        if origin in state.schemes:
            return state.schemes[origin]
        return dense_scheme(state.weights[origin], exact=origin in self._exact)


def relative_error(source: Encoded, encoded: Encoded) -> float:
    """|encoded - source| / |source| in the Frobenius norm, 0 for a zero weight. A range of rows is held at a time."""
    error = size = 0.0
    for rows in row_chunks(source.shape):
        original = source.decode(rows).ravel()
        difference = encoded.decode(rows).ravel() - original
        error += float(np.dot(difference, difference))
        size += float(np.dot(original, original))
    return (error / size) ** 0.5 if size > 0 else 0.0
