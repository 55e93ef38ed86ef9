"""Factorization by a singular value decomposition that knows the inputs (SVD-LLM, Wang et al. 2024): W to A B.

A linear layer becomes two, with fewer parameters together, so that its outputs on calibration text change least
(`low_rank.py`). Layers of one input share the first of the two, so q, k, v and gate, up stay one product behind it
(`models/factored.py`). A layer is factored only where it has fewer parameters for it, and where `timed` says how
weights will be stored, only where the two products were measured to take less time on this machine (`rank_budget.py`).
Weights stay in full precision: a pass behind this one encodes both factors, whose ranks are whole groups for that. A
table of embeddings or an untied head is factored where it is named, the table as if all its rows counted the same.
Experts and a table that is the head too are left alone.

With even ranks it goes block by block, so that Gram matrices of one block are held and each knows what became of those
before it: a weight becomes a matrix of its rank first, and at the end that is taken apart, exactly. Ranks by energy are
weighed against each other, for which those of all layers are held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from honed.backends.native_costs import Costs, open_costs
from honed.compress.base import ModelState, Weights
from honed.compress.factored_weights import factored_state
from honed.compress.layer_schemes import fitting_scheme
from honed.compress.layer_settings import Setting
from honed.compress.linears import find_linears
from honed.compress.low_rank import LowRank, low_rank
from honed.compress.needs import Inputs, Needs, Observed
from honed.compress.rank_budget import Faster, Layer, even_ranks, fewer_parameters, ranks_by_energy
from honed.compress.settings import PassSettings
from honed.compress.weights import ChangedWeights
from honed.encodings.dense import Dense
from honed.models.base import Model
from honed.models.factored import FactorGroup, without_factors
from honed.models.recorded import main_graph
from honed.ops.table import Embedding, Linear
from honed.ops.values import Weight


class SvdSettings(PassSettings):
    """Settings of the pass `svd`: `share` of the parameters of the layers that it is about goes away.

    modules: shell patterns of these layers, named without `.weight`; `*` stands for all but tables and the head. ranks:
    each layer loses that share of its own (`even`), or all together, each what it can do without (`energy`: for which
    all of them are decomposed before the first weight is made). first: layers of one input have one first factor
    (`shared`), or each its own (`own`). timed: how the pass behind this one stores weights, or null; a layer is then
    factored only where its two products, over `rows` rows (1 is decoding, 512 a prompt), take less time than it does
    (`honed costs`), so other machines may come to other ranks. multiple: of which ranks are. damping: a share of the
    mean of the diagonal of the Gram matrix that is added to the diagonal.
    """

    kind: Annotated[Literal["svd"], Field(alias="pass")]
    share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    modules: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)] = ("*",)
    ranks: Literal["even", "energy"] = "even"
    first: Literal["shared", "own"] = "shared"
    timed: Setting | None = None
    rows: Annotated[int, Field(ge=1, le=4096)] = 1
    multiple: Literal[32, 64, 128] = 32
    damping: Annotated[float, Field(gt=0, le=1)] = 0.01


@dataclass(frozen=True)
class Svd:
    """See `compress.base.Reshaping`. `costs`: where times are from."""

    settings: SvdSettings
    costs: Callable[[], Costs] = open_costs

    @property
    def needs(self) -> Needs:
        return Needs(frozenset({"gram"}), order="any" if self.settings.ranks == "energy" else "blocks")

    def apply(self, state: ModelState, observed: Observed, *, threads: int) -> ModelState:
        """`threads` has no effect. With ranks by energy, all layers are decomposed here; with `timed`, their products
        are timed here where that was not done before."""
        found = _Decomposing(state.weights, observed.inputs, _tables(state.model), self.settings.damping)
        if self.settings.ranks == "energy":
            return self._factored(state, found)
        layers = _layers(self._groups(state))
        factored = {
            name: FactorGroup(_names(group), rank)
            for group, rank in zip(self._groups(state), self._even(layers), strict=True)
            if rank and set(_names(group)) <= observed.linears
            for name in _names(group)
        }
        weights = ChangedWeights.deferred(
            state.weights, lambda name: _dense(found.product(factored[name], name)), frozenset(factored)
        )
        return replace(state, weights=weights, inputs=None)

    def finish(self, state: ModelState) -> ModelState:
        """Takes what `apply` made of each block apart: of its rank, it is its own product, whatever enters."""
        return self._factored(state, _Decomposing(state.weights, None, _tables(state.model), self.settings.damping))

    def _factored(self, state: ModelState, found: _Decomposing) -> ModelState:
        asked, groups = self.settings, self._groups(state)
        layers = _layers(groups)
        if asked.ranks == "even":
            ranks = self._even(layers)
        else:
            energies = [found.energies(_names(group)) for group in groups]
            kept, faster = 1 - asked.share, self._faster()
            ranks = ranks_by_energy(layers, energies, kept, multiple=asked.multiple, faster=faster)
        factored = [FactorGroup(_names(group), rank) for group, rank in zip(groups, ranks, strict=True) if rank]
        if not factored:
            return replace(state, notes=(*state.notes, "svd: no layer is faster as two products; all stay as they are"))
        return factored_state(state, factored, found.make, _note(layers, ranks, groups))

    def _groups(self, state: ModelState) -> tuple[tuple[Weight, ...], ...]:
        return tuple(_groups(state.model, self.settings))

    def _even(self, layers: Sequence[Layer]) -> tuple[int | None, ...]:
        asked = self.settings
        return even_ranks(layers, 1 - asked.share, multiple=asked.multiple, faster=self._faster())

    def _faster(self) -> Faster:
        asked = self.settings
        return fewer_parameters if asked.timed is None else measured(self.costs(), asked.timed, asked.rows)


def _layers(groups: Sequence[tuple[Weight, ...]]) -> list[Layer]:
    return [Layer(sum(weight.shape[0] for weight in group), group[0].shape[1]) for group in groups]


def _tables(model: Model) -> frozenset[str]:
    return frozenset(op.table.name for op in main_graph(model).operations(Embedding))


def measured(costs: Costs, stored: Setting, rows: int) -> Faster:
    """By the times of one product and of the two that take its place, all stored in one way."""

    def seconds(outputs: int, inputs: int) -> float:
        offset = "zero_point" if stored.weights.offset == "source" else stored.weights.offset
        form = fitting_scheme(stored, inputs, offset).run_as("auto")
        return costs.of((outputs, inputs), form, rows)

    def faster(outputs: int, inputs: int, rank: int) -> bool:
        return seconds(rank, inputs) + seconds(outputs, rank) < seconds(outputs, inputs)

    return faster


def _names(group: tuple[Weight, ...]) -> tuple[str, ...]:
    return tuple(weight.name for weight in group)


def _groups(model: Model, settings: SvdSettings) -> Iterator[tuple[Weight, ...]]:
    """What is asked for, in the order of the model, layers that share a first factor together. What is not a weight of
    the family itself is a factor already."""
    linears, graph = find_linears(model), main_graph(model)
    layers = {weight.name for weight in linears.layers}
    own = without_factors(model).weights()
    uses = Counter(weight.name for statement in graph for weight in statement.operation.weights)
    groups: dict[int | str, list[Weight]] = {}
    for statement in graph:
        match statement.operation:
            case Linear(inputs=(x,), weight=weight):
                key: int | str = x if settings.first == "shared" else weight.name
            case Embedding(table=weight):
                key = weight.name
            case _:
                continue
        if weight.name in own and uses[weight.name] == 1 and _is_asked(weight.name, settings, weight.name in layers):
            groups.setdefault(key, []).append(weight)
    return map(tuple, groups.values())


def _is_asked(weight: str, settings: SvdSettings, is_layer: bool) -> bool:
    name = weight.removesuffix(".weight")
    return any(fnmatchcase(name, pattern) for pattern in settings.modules if is_layer or pattern != "*")


@dataclass
class _Decomposing:
    """What a group comes to, once it is asked for: its weights are asked for one after the other, so the last group is
    held and no more. Of what is looked up no inputs are known, and its first factor is the table. `inputs` None: all
    count the same."""

    weights: Weights
    inputs: Inputs | None
    tables: frozenset[str]
    damping: float
    _last: tuple[FactorGroup, Mapping[str, Dense]] | None = None

    def product(self, group: FactorGroup, name: str) -> NDArray[np.float32]:
        """Of the two factors of a weight."""
        made = self.make(group)
        found: NDArray[np.float32] = made[group.outer(name)].decode() @ made[group.inner].decode()
        return found

    def energies(self, names: tuple[str, ...]) -> NDArray[np.float64]:
        return self._decomposed(names).energies

    def make(self, group: FactorGroup) -> Mapping[str, Dense]:
        """Its factors by their names."""
        if self._last is None or self._last[0] != group:
            self._last = None  # before the next one is made
            outer, inner = self._decomposed(group.weights).factors(group.rank)
            if group.weights[0] in self.tables:
                outer, inner = np.ascontiguousarray(inner.T), outer
            ends = np.cumsum([self.weights[name].shape[0] for name in group.weights[:-1]], dtype=int)
            parts = zip(group.weights, np.split(outer, ends), strict=True)
            found = {group.outer(name): _dense(part) for name, part in parts}
            self._last = group, {group.inner: _dense(inner), **found}
        return self._last[1]

    def _decomposed(self, names: tuple[str, ...]) -> LowRank:
        stacked = np.concatenate([self.weights[name].decode() for name in names])
        gram = None if self.inputs is None or names[0] in self.tables else self.inputs().gram[names[0]]
        return low_rank(stacked, gram, damping=self.damping)


def _dense(values: NDArray[np.float32]) -> Dense:
    return Dense(np.ascontiguousarray(values), "float32")


def _note(layers: list[Layer], ranks: tuple[int | None, ...], groups: tuple[tuple[Weight, ...], ...]) -> str:
    total = sum(layer.parameters for layer in layers)
    kept = sum(layer.of_rank(rank) if rank else layer.parameters for layer, rank in zip(layers, ranks, strict=True))
    count = sum(len(group) for group, rank in zip(groups, ranks, strict=True) if rank)
    return (
        f"svd: {count} of {sum(map(len, groups))} linear layers are products of two; "
        f"{kept / 1e6:.1f} of {total / 1e6:.1f} million parameters of them are kept"
    )
