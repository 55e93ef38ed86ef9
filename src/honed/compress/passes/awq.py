"""AWQ (Lin et al. 2023): prepares linear layers for being rounded to few bits, by what enters them.

At each junction (`junctions.py`, those across attention included) the columns of the layers that read a value are
multiplied by factors, which what makes the value is divided by. Where it is asked for, the largest weights of groups
are clipped as well, but in layers of queries and keys, whose errors multiply. Both are chosen by the least change of
outputs on calibration text (`activation_aware.py`), block by block.

The weights stay in full precision. What they will be rounded to is a setting, the same words as of the pass that
rounds: so the pass is a function of what it is given, whatever stands behind it, and that may be `round_to_nearest` or
`gptq`, which then makes up for the errors that are left. Factors change nothing but what is rounded; clipping does.
The layers of experts are clipped only: a router stands at the junction before them.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from threading import RLock
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from honed.compress.activation_aware import Consumer, Floats, Wide, best_factors, best_limits, clipped
from honed.compress.attention_scores import find_score_layers
from honed.compress.base import ModelState, TiedHead, Weights
from honed.compress.blocks import find_blocks
from honed.compress.junctions import Junction, find_junctions
from honed.compress.layer_schemes import LayerSchemes, choose_schemes
from honed.compress.layer_settings import EncodingSettings, Override, Setting
from honed.compress.linears import HEAD, find_linears
from honed.compress.needs import Needs, Observed
from honed.compress.settings import PassSettings
from honed.compress.weights import ChangedWeights
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.encodings.encode import encode
from honed.models.base import Model
from honed.models.recorded import main_graph


class AwqSettings(PassSettings, Setting):
    """Settings of the pass `awq`. weights, activations, overrides: what layers will be rounded to, as in the pass that
    rounds them; a layer that stays dense is left alone.

    factors: by the size of the `inputs`, as in the paper, or of inputs and `weights` both, as in AutoAWQ and
    llm-compressor; null moves none. clip: limit the weights of groups, of layers of under 8 bits; for a pass behind it
    that does not search its scales, as one that does has less to search then. junctions: whether factors move at the
    inputs of `layers`, that of the `head`, or at both.
    """

    kind: Annotated[Literal["awq"], Field(alias="pass")]
    overrides: tuple[Override, ...] = ()
    factors: Literal["inputs", "weights"] | None = "weights"
    clip: bool = False
    junctions: Literal["all", "layers", "head"] = "layers"

    @property
    def rounding(self) -> EncodingSettings:
        """Those of a pass that would round so."""
        return EncodingSettings(
            **{"pass": self.kind}, weights=self.weights, activations=self.activations, overrides=self.overrides
        )


class _Last:
    """The weight that was looked up last: matrices are decoded in parts, and what a pass before this one makes of them
    is made anew at each look."""

    def __init__(self) -> None:
        self._known: tuple[Weights, str, Encoded] | None = None

    def of(self, weights: Weights, name: str) -> Encoded:
        known = self._known
        if known is None or known[0] is not weights or known[1] != name:
            self._known = None  # before the next one is made
            known = self._known = (weights, name, weights[name])
        return known[2]


@dataclass(frozen=True)
class Awq:
    """See `compress.base.Pass`."""

    settings: AwqSettings
    needs: ClassVar[Needs] = Needs(frozenset({"gram"}), "blocks")
    last: _Last = field(default_factory=_Last, compare=False)

    def apply(self, state: ModelState, observed: Observed, *, threads: int) -> ModelState:
        """`threads` has no effect on what is found."""
        linears = find_linears(state.model)
        measured = {HEAD: linears.embedding.name} if linears.tied else {}
        own = {name for name in state.weights if measured.get(name, name) in observed.linears}
        chosen = choose_schemes(state.model, state.weights, self.settings.rounding, own)
        junctions = tuple(at for at in self._junctions(state) if any(to.name in chosen.schemes for to in at.consumers))
        clips = frozenset(name for name, setting in chosen.settings.items() if setting.weights.bits < 8)
        clips = clips - find_score_layers(state.model) if self.settings.clip else frozenset()
        found = _Fitting(state.weights, chosen, junctions, clips, observed, measured, self.settings, threads, self.last)
        return replace(
            state,
            weights=ChangedWeights.deferred(state.weights, found.weight, found.changed),
            tied_head=found.tied_head(state.tied_head),
            inputs=None,
        )

    def _junctions(self, state: ModelState) -> tuple[Junction, ...]:
        if self.settings.factors is None:
            return ()
        head, places = find_linears(state.model).head_name, self.settings.junctions
        return tuple(
            at
            for at in _within_blocks(state.model, head_apart=HEAD in state.weights)
            if places == "all" or (head in {weight.name for weight in at.consumers}) is (places == "head")
        )


@lru_cache(maxsize=4)
def _within_blocks(model: Model, *, head_apart: bool) -> tuple[Junction, ...]:
    """Those whose weights are of one block, as all are that this is shown of any model that there is."""
    blocks = [
        {weight.name for statement in block.statements for weight in statement.operation.weights}
        for block in find_blocks(main_graph(model))
    ]
    return tuple(
        at
        for at in find_junctions(model, head_apart=head_apart, values=True)
        if any({at.producer.name, at.measured} <= block for block in blocks)
    )


@dataclass(frozen=True)
class Fitted:
    """A weight times factors: columns multiplied, rows (or a vector) divided; then brought within limits [out, groups].
    Nothing but those is held."""

    look: _Last
    weights: Weights
    name: str
    columns: Floats | None
    rows: Floats | None
    limits: Floats | None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.weights[self.name].shape

    @property
    def nbytes(self) -> int:
        return self.weights[self.name].nbytes

    @property
    def kind(self) -> str:
        return "fitted"

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        values = self.look.of(self.weights, self.name).decode(rows)
        if self.columns is not None:
            values = values * self.columns
        if self.rows is not None:
            divisor = self.rows[rows]
            values = values / (divisor if values.ndim == 1 else divisor[:, None])
        return values if self.limits is None else clipped(values, self.limits[rows])


@dataclass(frozen=True)
class _Fitting:
    """What one block comes to, once it is asked for. measured: by which names weights go in what is observed, where by
    others than their own."""

    weights: Weights
    chosen: LayerSchemes
    junctions: tuple[Junction, ...]
    clips: frozenset[str]
    observed: Observed
    measured: dict[str, str]
    settings: AwqSettings
    threads: int
    last: _Last
    known: dict[str, Floats] = field(default_factory=dict, compare=False)
    """Factors by the name of the producer."""
    lock: AbstractContextManager[bool] = field(default_factory=RLock, compare=False)
    """Weights of a block may be asked for by several threads, and they share factors."""

    @property
    def changed(self) -> frozenset[str]:
        at_junctions = {
            weight.name
            for at in self.junctions
            for weight in (at.producer, at.bias, *at.consumers)
            if weight is not None
        }
        return self.clips | at_junctions

    def tied_head(self, before: TiedHead) -> TiedHead:
        apart = [at for at in self.junctions if at.apart]
        if not apart:
            return before
        along = frozenset(at.producer.name for at in apart)
        return TiedHead(before.along | along, (*before.factors, *(partial(self.factors, at) for at in apart)))

    def weight(self, name: str) -> Encoded:
        columns = rows = None
        for at in self.junctions:
            if name in {weight.name for weight in at.consumers}:
                columns = self._columns(at)
            if name in (at.producer.name, None if at.bias is None else at.bias.name):
                rows = self.factors(at)
        fitted = Fitted(self.last, self.weights, name, columns, rows, None)
        if name not in self.clips:
            return fitted
        gram = self._gram(name)
        if columns is not None:
            wide = columns.astype(np.float64)
            gram = gram / np.outer(wide, wide)
        return replace(fitted, limits=best_limits(self._consumer(name, fitted.decode()), gram))

    def factors(self, at: Junction) -> Floats:
        name = at.producer.name
        with self.lock:
            if name not in self.known:
                self.known[name] = self._best_factors(at)
        return self.known[name]

    def _best_factors(self, at: Junction) -> Floats:
        rounded = [weight.name for weight in at.consumers if weight.name in self.chosen.schemes]
        return best_factors(
            [self._consumer(name, self.weights[name].decode()) for name in rounded],
            self._gram(rounded[0]),
            both=self.settings.factors == "weights",
            at_producer=lambda means: at.at_producer(means).astype(np.float64),
            at_consumers=lambda factors: at.at_consumers(factors).astype(np.float64),
        )

    def _columns(self, at: Junction) -> Floats:
        return at.at_consumers(self.factors(at)).astype(np.float32)

    def _gram(self, name: str) -> Wide:
        return self.observed.inputs().gram[self.measured.get(name, name)]

    def _consumer(self, name: str, weight: Floats) -> Consumer:
        scheme, search = self.chosen.schemes[name], self.chosen.settings[name].weights.search

        def rounded(values: Floats) -> Floats:
            made = encode(Dense(values, "float32"), scheme, name=name, search=search, threads=self.threads)
            return made.decode()

        return Consumer(weight, rounded, scheme.group or weight.shape[1])
