"""A model state some of whose linear layers become two factors: other names and shapes, and another model and config.

Not here: what the factors are, which the passes know that make them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from honed.compress.base import ModelState, Weights
from honed.encodings.base import Encoded
from honed.models.base import Config
from honed.models.factored import FactorGroup, factors_json, factors_of, with_factors, without_factors

Make = Callable[[FactorGroup], Mapping[str, Encoded]]
"""The factors of a group by their names."""


def factored_state(state: ModelState, groups: Sequence[FactorGroup], make: Make, note: str) -> ModelState:
    """The state with these groups too, whose factors are made when they are asked for: looking one up computes nothing
    yet, decoding it does."""
    all_groups = (*factors_of(state.model), *groups)
    model = with_factors(without_factors(state.model), all_groups)
    config: Config = {**state.config, **factors_json(all_groups)}
    shapes = {name: weight.shape for name, weight in model.weights().items()}
    owners = {name: group for group in groups for name in (group.inner, *map(group.outer, group.weights))}
    # A tied head that is to be encoded apart is no weight of the model.
    names = (*shapes, *(name for name in state.weights if name not in shapes and _stays(name, groups)))
    weights = _FactoredWeights(state.weights, names, shapes, owners, make)
    return replace(state, config=config, model=model, weights=weights, inputs=None, notes=(*state.notes, note))


def _stays(name: str, groups: Sequence[FactorGroup]) -> bool:
    return not any(name in group.weights for group in groups)


@dataclass(frozen=True)
class _FactoredWeights(Mapping[str, Encoded]):
    before: Weights
    names: tuple[str, ...]
    shapes: Mapping[str, tuple[int, ...]]
    owners: Mapping[str, FactorGroup]
    make: Make

    def __getitem__(self, name: str) -> Encoded:
        group = self.owners.get(name)
        if group is not None:
            return Factor(self.shapes[name], lambda: self.make(group)[name])
        if name not in self.names:
            raise KeyError(name)
        return self.before[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Factor:
    """One of two factors, in float32: found when its values are asked for, and kept as long as it is."""

    shape: tuple[int, ...]
    resolve: Callable[[], Encoded]

    @property
    def nbytes(self) -> int:
        return 4 * int(np.prod(self.shape))

    @property
    def kind(self) -> str:
        return "factor"

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        return self._resolved.decode(rows)

    @cached_property
    def _resolved(self) -> Encoded:
        return self.resolve()
