"""The smaller model: its config, its model, and its weights as rows and columns of those before.

The config is the family's own, with other counts in it, so that whoever reads configs of the family reads the result.
That it says exactly what was taken away is not believed but checked: the model that it gives must have the graph of the
one before, with weights of the wanted shapes. Not here: which rows and columns go (`removal.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.compress.base import ModelState
from honed.compress.prunable import Units
from honed.compress.weights import ChangedWeights
from honed.encodings.base import Encoded
from honed.errors import HonedError, UnsupportedError
from honed.models.base import Config, Model
from honed.models.recorded import recorded
from honed.models.registry import family_of, read_any
from honed.ops.graph import Statement
from honed.ops.operation import Operation
from honed.ops.values import AttentionSpec, Weight

Indices = NDArray[np.intp]
Kept = Callable[[], Indices]
"""Which rows or columns stay, ascending; found at the first call."""


@dataclass(frozen=True)
class Narrow:
    """A weight without some of its rows (axis 0) or columns (1). `count` of them stay."""

    source: Encoded
    kept: Kept
    axis: int
    count: int

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.count if axis == self.axis else size for axis, size in enumerate(self.source.shape))

    @property
    def nbytes(self) -> int:
        return self.source.nbytes * self.count // self.source.shape[self.axis]

    @property
    def kind(self) -> str:
        return "narrow"

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        if self.axis == 1:
            return np.ascontiguousarray(self.source.decode(rows)[:, self.kept()])
        wanted = self.kept()[rows]
        if not wanted.size:
            return self.source.decode(slice(0, 0))
        first = int(wanted.min())
        return self.source.decode(slice(first, int(wanted.max()) + 1))[wanted - first]


def narrowed(
    state: ModelState, units: Sequence[Units], count: int, kept: Callable[[Units], Indices], counts: Mapping[str, Any]
) -> ModelState:
    """The state with `count` of each of these units, those that `kept` names once a weight is asked for.

    counts: fields of the config that change. UnsupportedError where a config of the family cannot say it.
    """
    places: dict[str, _Place] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    before = state.model.weights()
    for one in units:
        for name in one.names:
            reads = name == one.consumer.name
            at = places[name] = _Place(one, 1, one.columns) if reads else _Place(one, 0, one.rows[name])
            shapes[name] = tuple(
                count * at.run if axis == at.axis else size for axis, size in enumerate(before[name].shape)
            )
    config, model = read_changed(state, counts, shapes)

    def narrow(name: str) -> Narrow:
        at = places[name]
        return Narrow(state.weights[name], lambda: at.indices(kept(at.units)), at.axis, count * at.run)

    weights = ChangedWeights(state.weights, narrow, frozenset(places))
    return replace(state, config=config, model=model, weights=weights, inputs=None)


@dataclass(frozen=True)
class _Place:
    """Where units are in a weight: along which axis, and how many rows or columns are one of them."""

    units: Units
    axis: int
    run: int

    def indices(self, units: Indices) -> Indices:
        return (units[:, None] * self.run + np.arange(self.run)).ravel()


def read_changed(
    state: ModelState, changes: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> tuple[Config, Model]:
    """The config with these fields and its model: the one of `state`, whose weights have `shapes` where they differ.

    UnsupportedError, which names the family, where the config gives another model than that.
    """
    expected = {name: shapes.get(name, weight.shape) for name, weight in state.model.weights().items()}
    return read_as_expected(state, changes, expected, lambda program: recorded(state.model, program).statements)


def read_as_expected(
    state: ModelState,
    changes: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
    statements: Callable[[str], Sequence[Statement]],
    called: Callable[[str], str] = lambda name: name,
) -> tuple[Config, Model]:
    """As `read_changed`: `shapes` of all weights, and of each program the statements that are to be there, with weights
    that are to be `called` otherwise."""
    config = {**state.config, **changes}
    kind = family_of(state.config).model_type
    said = ", ".join(f"{name} {value}" for name, value in changes.items() if not isinstance(value, list))
    try:
        model = read_any(config)
    except HonedError as error:
        raise UnsupportedError(f"a config of the family {kind} cannot have {said}: {error}") from None
    found = {name: weight.shape for name, weight in model.weights().items()}
    for name in [*shapes, *found]:
        if shapes.get(name) != found.get(name):
            raise UnsupportedError(
                f"{name} would be {_shown(shapes.get(name))}, and is {_shown(found.get(name))} in the family {kind} "
                f"with {said}: what was to be taken away is tied to something else there"
            )
    for program in state.model.programs():
        own = _skeleton(recorded(model, program).statements, lambda name: name)
        if own != _skeleton(statements(program), called):
            raise UnsupportedError(
                f"a config of the family {kind} with {said} means another model than this one with less in it: "
                "some of its layers differ by their place or their width in a way that the config does not name"
            )
    return config, model


def _shown(shape: tuple[int, ...] | None) -> str:
    return "not there" if shape is None else " by ".join(map(str, shape))


def _skeleton(statements: Iterable[Statement], called: Callable[[str], str]) -> list[Operation]:
    """What statements do, whatever the numbers of their values and the shapes of their weights."""
    places: dict[int, int] = {}
    found = []
    for place, statement in enumerate(statements):
        places[statement.number] = place
        inputs = tuple(places[number] for number in statement.operation.inputs)
        found.append(_bare(replace(statement.operation, inputs=inputs), called))
    return found


def _bare(operation: Operation, called: Callable[[str], str]) -> Operation:
    def bare(value: Any) -> Any:
        if isinstance(value, Weight):
            return Weight(called(value.name), ())
        if isinstance(value, tuple):
            return tuple(bare(one) for one in value)
        if isinstance(value, AttentionSpec):
            bias = None if value.bias is None else replace(value.bias, weight=bare(value.bias.weight))
            return replace(value, sinks=bare(value.sinks), bias=bias)
        return value

    return replace(operation, **{field.name: bare(getattr(operation, field.name)) for field in fields(operation)})
