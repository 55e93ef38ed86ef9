"""Takes whole layers out: those that change what goes through them least, or those that are named.

How much a layer changes is one minus the mean cosine between what enters and what leaves it, over all tokens (block
influence, Men et al. 2024, "ShortGPT"), measured once. The first layer stays, which makes of single tokens what all
others read, and so do the last ones, which make of it what the head reads (Gromov et al. 2024).

Which layers go decides what the config says of those that are left, and what their weights are, so unlike other passes
this one measures when it is applied.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from honed.compress.base import ModelState, Weights
from honed.compress.layers import Layer, find_layers, layer_of, renumbered, without_layers
from honed.compress.narrowing import read_as_expected
from honed.compress.needs import Needs, Observed
from honed.compress.settings import PassSettings
from honed.encodings.base import Encoded
from honed.errors import ParameterError, UnsupportedError
from honed.models.family import Family
from honed.models.recorded import main_graph, recorded
from honed.models.registry import family_of
from honed.ops.graph import Graph, Statement


class PruneLayersSettings(PassSettings):
    """Settings of the pass `prune_layers`: how many go, which share of them, or which ones, numbered from 0. last: so
    many at the end stay where they are chosen by measurement."""

    kind: Annotated[Literal["prune_layers"], Field(alias="pass")]
    count: Annotated[int, Field(ge=1, le=1024)] | None = None
    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    layers: Annotated[tuple[Annotated[int, Field(ge=0, le=1023)], ...], Field(min_length=1)] | None = None
    last: Annotated[int, Field(ge=0, le=1023)] = 1

    @model_validator(mode="after")
    def _one_of_three(self) -> PruneLayersSettings:
        if sum(value is not None for value in (self.count, self.share, self.layers)) != 1:
            raise ValueError("needs one of count, how many go, share, and layers, which ones")
        if self.layers is not None and len(set(self.layers)) != len(self.layers):
            raise ValueError(f"layers: {list(self.layers)} names a layer twice")
        return self


@dataclass(frozen=True)
class PruneLayers:
    """See `compress.base.Pass`."""

    settings: PruneLayersSettings

    @property
    def needs(self) -> Needs:
        return Needs() if self.settings.layers is not None else Needs(frozenset({"cosine"}))

    def apply(self, state: ModelState, observed: Observed, *, threads: int) -> ModelState:
        """`threads` has no effect. Errors: ParameterError where too many or none would go, UnsupportedError where the
        layers of a family differ by their place."""
        family, graph = family_of(state.config), main_graph(state.model)
        layers = find_layers(graph, family.layer_prefix)
        removed = self._named(len(layers)) or self._least(graph, layers, observed)
        kept = [number for number in range(len(layers)) if number not in removed]
        called = renumbered(family.layer_prefix, kept)

        def left(names: Collection[str]) -> list[str]:
            return [name for name in names if layer_of(name, family.layer_prefix) not in removed]

        def statements(program: str) -> Sequence[Statement]:
            graph = recorded(state.model, program)
            return without_layers(graph, find_layers(graph, family.layer_prefix), removed)

        before = state.model.weights()
        shapes = {called(name): before[name].shape for name in left(before)}
        changes = _changes(family, state.config, layers, kept)
        config, model = read_as_expected(state, changes, shapes, statements, called)
        gone = ", ".join(map(str, sorted(removed)))
        note = f"layers {gone} of {len(layers)} are left out"
        weights = KeptLayers(state.weights, {called(name): name for name in left(state.weights)})
        return replace(state, config=config, model=model, weights=weights, inputs=None, notes=(*state.notes, note))

    def _named(self, total: int) -> frozenset[int]:
        wrong = [number for number in self.settings.layers or () if number >= total]
        if wrong:
            raise ParameterError("prune_layers.layers", wrong[0], f"must be below {total}, the number of layers")
        if len(self.settings.layers or ()) >= total:
            raise ParameterError("prune_layers.layers", list(self.settings.layers or ()), "leaves no layer")
        return frozenset(self.settings.layers or ())

    def _count(self, total: int) -> int:
        settings = self.settings
        count = settings.count if settings.count is not None else round((settings.share or 0) * total)
        most = max(0, total - 1 - settings.last)
        if not 0 < count <= most:
            field, value = ("count", settings.count) if settings.count is not None else ("share", settings.share)
            what = "no layer goes" if count == 0 else f"{count} would go"
            stay = f"the first and the last {settings.last} stay, so it must be 1 to {most}"
            raise ParameterError(f"prune_layers.{field}", value, f"{what} of {total}; {stay}")
        return count

    def _least(self, graph: Graph, layers: Sequence[Layer], observed: Observed) -> frozenset[int]:
        """Those that change what goes through them least."""
        count, stay = self._count(len(layers)), len(layers) - self.settings.last
        found = dict(enumerate(_cosines(graph, layers[1:stay], observed.inputs().cosine), 1))
        return frozenset(sorted(found, key=lambda number: -found[number])[:count])


def _cosines(graph: Graph, layers: Sequence[Layer], cosine: Mapping[tuple[int, int], float]) -> list[float]:
    """Of each layer, between what enters and what leaves it."""
    known = {number for pair in cosine for number in pair}
    statements = graph.by_number()

    def measured(number: int) -> int:
        """Where norms stand behind the sums, those are what blocks give each other."""
        inputs = statements[number].operation.inputs
        return number if number in known or len(inputs) != 1 else measured(inputs[0])

    found = []
    for layer in layers:
        pair = measured(layer.entering), measured(layer.leaving)
        if pair not in cosine:
            names = ", ".join(weight.name for weight in layer.statements[0].operation.weights)
            raise UnsupportedError(f"prune_layers: what enters and leaves the layer of {names} is not known")
        found.append(cosine[pair])
    return found


def _changes(family: Family, config: Mapping[str, Any], layers: Sequence[Layer], kept: Sequence[int]) -> dict[str, Any]:
    """The fields of a config that count layers or say something of each."""
    changes: dict[str, Any] = {family.layers_field: len(kept)}
    for name in family.by_layer:
        given = config.get(name)
        if isinstance(given, list | tuple) and len(given) == len(layers):
            changes[name] = [given[number] for number in kept]
    windows = [layer.window for layer in layers]
    if len(set(windows)) > 1 and config.get("layer_types") is None:
        # Said by their places so far, which change.
        kinds = ("full_attention" if windows[number] is None else "sliding_attention" for number in kept)
        changes["layer_types"] = list(kinds)
    return changes


class KeptLayers(Mapping[str, Encoded]):
    """The weights that are left, by their new names."""

    def __init__(self, before: Weights, names: Mapping[str, str]) -> None:
        """names: the one before of each new one."""
        self._before, self._names = before, names

    def __getitem__(self, name: str) -> Encoded:
        return self._before[self._names[name]]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
