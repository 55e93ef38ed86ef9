"""Weights by name that are made when they are asked for: those of a source, and those that a pass makes of others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honed.compress.linears import HEAD, find_linears
from honed.compress.once import Once
from honed.encodings.base import Encoded
from honed.models.base import Model


class SourceWeights(Mapping[str, Encoded]):
    """The weights that a model names, read when asked for.

    With `head_apart` a tied head is there under `lm_head.weight` too, to become a weight of its own.
    """

    def __init__(self, model: Model, read: Callable[[str], Encoded], *, head_apart: bool = True) -> None:
        linears = find_linears(model)
        self._origin = {name: name for name in model.weights()}
        if linears.tied and head_apart:
            self._origin[HEAD] = linears.embedding.name
        self._read = read

    def __getitem__(self, name: str) -> Encoded:
        return self._read(self._origin[name])

    def __contains__(self, name: object) -> bool:
        return name in self._origin

    def __iter__(self) -> Iterator[str]:
        return iter(self._origin)

    def __len__(self) -> int:
        return len(self._origin)


class ChangedWeights(Mapping[str, Encoded]):
    """Weights of which a pass makes some anew. Names and their order stay."""

    def __init__(self, before: Mapping[str, Encoded], make: Callable[[str], Encoded], changed: frozenset[str]) -> None:
        """`make` is called with the names that are in `changed`, each time that they are asked for."""
        self._before, self._make, self._changed = before, make, changed

    @classmethod
    def deferred(
        cls, before: Mapping[str, Encoded], make: Callable[[str], Encoded], changed: frozenset[str]
    ) -> ChangedWeights:
        """Those of a pass that keeps weights in full precision and their shapes: looking one up computes nothing yet,
        so that the passes behind it can plan; decoding it does."""
        return cls(before, lambda name: DeferredWeight(before[name], lambda: make(name)), changed)

    def __getitem__(self, name: str) -> Encoded:
        return self._make(name) if name in self._changed else self._before[name]

    def __contains__(self, name: object) -> bool:
        return name in self._before

    def __iter__(self) -> Iterator[str]:
        return iter(self._before)

    def __len__(self) -> int:
        return len(self._before)


@dataclass(frozen=True)
class DeferredWeight:
    """A weight as large as `source`, whose values are found when they are asked for, and kept as long as it is."""

    source: Encoded
    resolve: Callable[[], Encoded]

    def __post_init__(self) -> None:
        object.__setattr__(self, "resolve", Once(self.resolve))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.shape

    @property
    def nbytes(self) -> int:
        return self.source.nbytes

    @property
    def kind(self) -> str:
        return "deferred"

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        return self.resolve().decode(rows)
