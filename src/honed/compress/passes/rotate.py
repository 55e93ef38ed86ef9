"""Rotation: turns features by orthogonal matrices that are folded into the weights, so that no feature sticks out.

After QuaRot (Ashkboos et al. 2024) and SpinQuant (Liu et al. 2024), of which this has what costs nothing at run time:
R1, one turn of the residual stream, folded into every matrix that reads or writes it, once the weights of the norms
before it are folded into its readers (Ashkboos et al. 2024, "SliceGPT"); and R2, a turn of each head of values, folded
into the rows that make them and the columns that read what is mixed of them. The model computes the same; outliers of
weights and activations are spread over all features before they are rounded. What may be turned is read off the graph
(`residual_stream.py`, `value_heads.py`), the matrices are in `orthogonal.py`. A stream that a LayerNorm reads is turned
around the row of ones, so that its mean stays where it is.

A head that is tied to the embedding comes apart from it: it takes the weight of the last norm, and the table does not.
Not here: turns that a program would have to make while it runs (R3, R4), and matrices that are learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from honed.compress.base import ModelState, TiedHead, Weights
from honed.compress.linears import HEAD, find_linears
from honed.compress.needs import Needs, Observed
from honed.compress.orthogonal import Wide, keeping_mean, random_hadamard, random_orthogonal
from honed.compress.residual_stream import Layer, Reader, ResidualStream, find_residual_stream
from honed.compress.settings import PassSettings
from honed.compress.value_heads import ValueHeads, find_value_heads
from honed.compress.weights import ChangedWeights, WithHead
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.errors import UnsupportedError
from honed.models.registry import read_any
from honed.ops.values import Weight

Kind = Literal["hadamard", "orthogonal"]


class RotateSettings(PassSettings):
    """Settings of the pass `rotate`.

    residual: turn the residual stream, which unties the head. values: turn the values of each head. matrix: of Hadamard
    with random signs, or any orthogonal one, drawn with `seed`.
    """

    kind: Annotated[Literal["rotate"], Field(alias="pass")]
    residual: bool = True
    values: bool = True
    matrix: Kind = "hadamard"
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 0

    @model_validator(mode="after")
    def _something(self) -> RotateSettings:
        if not self.residual and not self.values:
            raise ValueError("residual and values are both false, and nothing else is rotated")
        return self


@dataclass(frozen=True)
class Rotate:
    """See `compress.base.Pass`."""

    settings: RotateSettings
    needs: ClassVar[Needs] = Needs()

    def apply(self, state: ModelState, observed: Observed, *, threads: int) -> ModelState:
        """UnsupportedError names the op that a turn does not pass. `threads` has no effect."""
        values = find_value_heads(state.model) if self.settings.values else ()
        if not self.settings.residual:
            if not values:
                raise UnsupportedError("rotate: residual is false, and no attention here has values that can be turned")
            turns = _Turns(self.settings, None, values)
            return replace(state, weights=turns.of(state.weights), inputs=None)
        stream, linears = find_residual_stream(state.model), find_linears(state.model)
        if not linears.tied:
            return replace(state, weights=_Turns(self.settings, stream, values).of(state.weights), inputs=None)
        config = {**state.config, "tie_word_embeddings": False}
        stream = replace(stream, readers=tuple(_apart(reader, linears.embedding.name) for reader in stream.readers))
        rows, width = linears.embedding.shape
        untied = (
            f"rotate: the head is no longer tied to {linears.embedding.name}: of two matrices of {rows} x {width} the "
            f"table takes {rows * width * 2 / 1e6:.1f} MB in bfloat16, beside the head"
        )
        weights = state.weights if HEAD in state.weights else WithHead(state.weights, linears.embedding.name)
        return replace(
            state,
            config=config,
            model=read_any(config),
            weights=_Turns(self.settings, stream, values).of(weights),
            tied_head=TiedHead(),
            inputs=None,
            notes=(*state.notes, untied),
        )


def _apart(reader: Reader, table: str) -> Reader:
    """The head under its own name."""
    weight = reader.layer.weight
    return reader if weight.name != table else replace(reader, layer=Layer(replace(weight, name=HEAD), None))


@dataclass(frozen=True)
class _Blocks:
    """Orthogonal matrices [blocks, width, width], of which each run of so many features is turned by its own. A row x
    becomes x @ matrix."""

    matrices: Wide

    def columns(self, values: Wide) -> Wide:
        """[..., features], turned from the right: rows, or what reads turned rows and gives what it did."""
        count, width, _ = self.matrices.shape
        runs = values.reshape(-1, count, width).transpose(1, 0, 2)
        turned: Wide = np.matmul(runs, self.matrices)
        return turned.transpose(1, 0, 2).reshape(values.shape)

    def rows(self, values: Wide) -> Wide:
        """[features, ...], turned from the left: what gives turned rows."""
        count, width, _ = self.matrices.shape
        runs = values.reshape(count, width, -1)
        turned: Wide = np.matmul(self.matrices.transpose(0, 2, 1), runs)
        return turned.reshape(values.shape)


@dataclass
class _Fold:
    """All that becomes of a weight, in this order: what a norm multiplied with goes into its columns, what it added
    into a bias; columns are turned, then rows."""

    reads: Reader | None = None
    divided: Weight | None = None
    """Of a shift that stays in its norm: what the norm multiplied with, which its readers do now, behind it."""
    columns: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()
    fill: float | None = None
    """Instead of all that: every value."""


_STREAM = -1
"""The turn of the residual stream among those of attentions, which go by their number."""


@dataclass(frozen=True)
class _Turns:
    """What the turns do to each weight, and the matrices, once they are asked for."""

    settings: RotateSettings
    stream: ResidualStream | None
    attentions: tuple[ValueHeads, ...]
    known: dict[int, _Blocks] = field(default_factory=dict, compare=False)

    def of(self, weights: Weights) -> Weights:
        def made(name: str) -> Encoded:
            return self._made(weights, name)

        return ChangedWeights.deferred(weights, made, frozenset(self._folds))

    @cached_property
    def _folds(self) -> Mapping[str, _Fold]:
        found: dict[str, _Fold] = {}

        def fold(name: str) -> _Fold:
            return found.setdefault(name, _Fold())

        for number, heads in enumerate(self.attentions):
            fold(heads.output.name).columns = (number,)
            for weight in (heads.values, heads.bias):
                if weight is not None:
                    fold(weight.name).rows = (number,)
        if self.stream is None:
            return found
        for table in self.stream.tables:
            fold(table.name).columns = (_STREAM,)
        for reader in self.stream.readers:
            fold(reader.layer.weight.name).reads = reader
            fold(reader.layer.weight.name).columns += (_STREAM,)
            if reader.layer.bias is not None and reader.shift is not None and not self.stream.keeps(reader.shift):
                fold(reader.layer.bias.name).reads = reader
            if reader.shift is not None and self.stream.keeps(reader.shift):
                found[reader.shift.name] = _Fold(divided=reader.norm, columns=(_STREAM,))
        for writer in self.stream.writers:
            for weight in (writer.weight, writer.bias):
                if weight is not None:
                    fold(weight.name).rows += (_STREAM,)
        for norm in self.stream.norms:
            fold(norm.name).fill = 1.0
        for shift in self.stream.shifts:
            if not self.stream.keeps(shift):
                fold(shift.name).fill = 0.0
        return found

    def _made(self, weights: Weights, name: str) -> Encoded:
        fold, source = self._folds[name], weights[name]
        if fold.fill is not None:
            return Dense(np.full(source.shape, fold.fill, np.float32), "float32")
        values: Wide = source.decode().astype(np.float64)
        if fold.reads is not None:
            values = _folded(values, fold.reads, weights)
        if fold.divided is not None:
            values = _divided(values, weights[fold.divided.name].decode(), name)
        for turn in fold.columns:
            values = self._blocks(turn).columns(values)
        for turn in fold.rows:
            values = self._blocks(turn, rows=True).rows(values)
        return Dense(values.astype(np.float32), "float32")

    def _blocks(self, turn: int, *, rows: bool = False) -> _Blocks:
        """Of values what turns the columns repeats each head as often as it is read."""
        if turn not in self.known:
            self.known[turn] = _Blocks(self._matrices(turn))
        blocks = self.known[turn]
        if turn == _STREAM or rows:
            return blocks
        return _Blocks(blocks.matrices[list(self.attentions[turn].sources)])

    def _matrices(self, turn: int) -> Wide:
        make = random_hadamard if self.settings.matrix == "hadamard" else random_orthogonal
        random = np.random.default_rng([self.settings.seed, turn + 1])
        if turn != _STREAM:
            heads = self.attentions[turn]
            return np.stack([make(heads.width, random) for _ in range(heads.heads)])
        assert self.stream is not None  # no weight is turned by it then
        made = make(self.stream.width, random)
        return (keeping_mean(made) if self.stream.centered else made)[None]


def _folded(values: Wide, reader: Reader, weights: Weights) -> Wide:
    """A matrix [out, in] times what the norm before it multiplied with, or its bias with what the norm added."""
    if values.ndim == 2:
        gain: NDArray[np.float32] = weights[reader.norm.name].decode()
        return values * gain
    assert reader.shift is not None  # no bias reads a norm otherwise
    shift = weights[reader.shift.name].decode().astype(np.float64) * reader.factor
    matrix: Wide = weights[reader.layer.weight.name].decode().astype(np.float64)
    return values + matrix @ shift


def _divided(shift: Wide, gain: NDArray[np.float32], name: str) -> Wide:
    """What a norm adds where its readers multiply with its gain afterwards."""
    lost = (gain == 0) & (shift != 0)
    if lost.any():
        raise UnsupportedError(
            f"{name}: {shift[lost][0]:.3g} is added where the norm multiplies with 0, and a layer without a bias "
            "reads it: this residual stream cannot be turned; say residual: false"
        )
    return np.asarray(shift / np.where(gain == 0, np.float32(1), gain))
