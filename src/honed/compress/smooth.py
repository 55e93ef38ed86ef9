"""Smoothing: moves the spread of activations into the weights, so that int8 activations lose less.

After SmoothQuant (Xiao et al. 2023, equation 4): with s_j = rms(x_j)^a / max|w_j|^(1 - a) for every input feature j
of a group of linear layers, x / s and w * s multiply to the same result. The division costs nothing at run time,
because what produces x takes it: the weight of the RMS norm before q, k, v and before gate, up; the rows of `up`
before `down`. s is rounded to powers of two, so in floating point nothing changes at all: smoothed dense weights give
the same logits to the bit (short of overflow), and only what is rounded afterwards differs.

Which layers stand behind which norm is read off the forward pass; no list of names is kept. A norm or `up` whose
output anything but a linear layer reads is left alone. So is the norm before a tied head, unless that head is a weight
apart from the embedding table, which is looked up in and cannot take a factor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from honed.compress.calibrate import InputStatistics
from honed.compress.linears import HEAD
from honed.encodings.base import Encoded
from honed.models.base import DecoderModel
from honed.ops.table import Activation, Rotary, Weight


@dataclass(frozen=True)
class Scaled:
    """A weight times powers of two: columns (input features) multiplied, rows (or a vector) divided. Exact."""

    source: Encoded
    columns: NDArray[np.float32] | None
    rows: NDArray[np.float32] | None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.shape

    @property
    def nbytes(self) -> int:
        return self.source.nbytes

    @property
    def kind(self) -> str:
        return "scaled"

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        values = self.source.decode(rows)
        if self.columns is not None:
            values = values * self.columns
        if self.rows is not None:
            divisor = self.rows[rows]
            values = values / (divisor if values.ndim == 1 else divisor[:, None])
        return values


@dataclass(frozen=True)
class Junction:
    """`consumers` read what `producer` makes: a norm weight (vector) or the rows of a matrix.

    `measured` is the weight under which `InputStatistics` has what flows here. `apart` says that the consumer is the
    encoded form of a tied head: the table that it is tied to stays as it is, and goes with the producer as it was.
    """

    producer: Weight
    consumers: tuple[Weight, ...]
    measured: str
    apart: bool


def smoothed(
    junctions: Iterable[Junction], weights: Mapping[str, Encoded], statistics: InputStatistics, *, strength: float
) -> dict[str, Encoded]:
    """Every weight by its name, those at a junction as `Scaled`. Reads the consumers of each junction once."""
    columns: dict[str, NDArray[np.float32]] = {}
    rows: dict[str, NDArray[np.float32]] = {}
    for junction in junctions:
        factors = smoothing_factors(junction, statistics, weights, strength)
        rows[junction.producer.name] = factors
        for consumer in junction.consumers:
            columns[consumer.name] = factors
    return {
        name: Scaled(weight, columns.get(name), rows.get(name)) if name in columns or name in rows else weight
        for name, weight in weights.items()
    }


def find_junctions(model: DecoderModel, *, head_apart: bool) -> tuple[Junction, ...]:
    """Every place of a forward pass where a factor for each feature can be moved, in the order of the pass.

    `head_apart`: a tied head is encoded apart from the embedding table, as the weight `HEAD`.
    """
    walk = _Walk()
    model.forward(walk)
    found = []
    for value in walk.values:
        if value.producer is None or not value.consumers or value.read_elsewhere:
            continue
        measured = value.consumers[0].name
        if not any(consumer.name in walk.embeddings for consumer in value.consumers):
            found.append(Junction(value.producer, tuple(value.consumers), measured, apart=False))
        elif head_apart and len(value.consumers) == 1:
            head = Weight(HEAD, value.consumers[0].shape)
            found.append(Junction(value.producer, (head,), measured, apart=True))
    return tuple(found)


def smoothing_factors(
    junction: Junction, statistics: InputStatistics, weights: Mapping[str, Encoded], strength: float
) -> NDArray[np.float32]:
    """s for every feature, powers of two with a geometric mean near one. Features that are always zero get 1."""
    rms = statistics.rms(junction.measured)
    largest = np.zeros(rms.shape)
    for consumer in junction.consumers:
        largest = np.maximum(largest, np.abs(weights[consumer.name].decode()).max(axis=0))
    live = (rms > 0) & (largest > 0)
    exponents = np.zeros(rms.shape)
    exponents[live] = strength * np.log2(rms[live]) - (1 - strength) * np.log2(largest[live])
    if live.any():
        exponents[live] -= exponents[live].mean()
    factors: NDArray[np.float32] = np.exp2(np.clip(np.rint(exponents), -24, 24)).astype(np.float32)
    return factors


@dataclass(eq=False)
class _Value:
    """What one op made: how wide it is, the weight that could take a factor, and who reads it."""

    width: int
    producer: Weight | None = None
    consumers: list[Weight] = field(default_factory=list)
    read_elsewhere: bool = False


@dataclass
class _Walk:
    """Ops that note who reads what."""

    values: list[_Value] = field(default_factory=list)
    embeddings: set[str] = field(default_factory=set)

    def _make(self, width: int, producer: Weight | None, *reads: _Value) -> _Value:
        for value in reads:
            value.read_elsewhere = True
        self.values.append(_Value(width, producer))
        return self.values[-1]

    def embedding(self, table: Weight) -> _Value:
        self.embeddings.add(table.name)
        return self._make(table.shape[1], None)

    def linear(self, x: _Value, weight: Weight, bias: Weight | None = None) -> _Value:
        x.consumers.append(weight)
        # With a bias the rows alone do not carry the factor.
        return self._make(weight.shape[0], weight if bias is None else None)

    def rms_norm(self, x: _Value, weight: Weight, eps: float) -> _Value:
        # A norm of heads is no producer: its weight repeats over the row.
        return self._make(x.width, weight if weight.shape[0] == x.width else None, x)

    def rope(self, x: _Value, rotary: Rotary, head_dim: int) -> _Value:
        return self._make(x.width, None, x)

    def attention(
        self, q: _Value, k: _Value, v: _Value, *, layer: int, head_dim: int, scale: float, window: int | None = None
    ) -> _Value:
        return self._make(q.width, None, q, k, v)

    def gated(self, gate: _Value, up: _Value, activation: Activation) -> _Value:
        # A factor on the rows of `up` passes through the product with the activated gate.
        shared = bool(up.consumers) or up.read_elsewhere
        return self._make(up.width, None if shared else up.producer, gate, up)

    def add(self, a: _Value, b: _Value) -> _Value:
        return self._make(a.width, None, a, b)

    def select(self, x: _Value) -> _Value:
        return self._make(x.width, None, x)
