"""What every compression pass offers, and what it takes and gives. Interfaces only; one file a pass, in `passes/`.

A pass maps a model state to a model state. It reads no files and tokenizes nothing. Nothing is computed when it is
applied: each new weight is made when it is asked for, so that only one at a time is held in full.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from honed.compress.needs import Columns, Inputs, Needs, Observed
from honed.compress.settings import PassSettings
from honed.encodings.base import Encoded
from honed.encodings.scheme import Scheme
from honed.models.base import Config, Model

Weights = Mapping[str, Encoded]
"""Every weight of a model by its Hugging Face name; a tied head that is encoded stands under its own name too. What is
looked up is made then, and again at a second look."""


@dataclass(frozen=True)
class TiedHead:
    """How a tied head that is encoded has come apart from its table.

    along: weights that were changed with it, so that they fit it and no longer the table. factors: what each of its
    columns was multiplied with along with them, powers of two; one for each pass that did so, computed when called.
    """

    along: frozenset[str] = frozenset()
    factors: tuple[Callable[[], Columns], ...] = ()

    def product(self) -> Columns | None:
        """All factors together, None for ones."""
        found = [factors() for factors in self.factors]
        return None if not found else np.prod(found, axis=0, dtype=np.float32)


@dataclass(frozen=True)
class ModelState:
    """A model between two passes.

    config: as in config.json; `model` is what reading it gives, and a pass that changes the one changes the other.
    schemes: what the weights that are encoded are, known at once and exact; the others are in full precision.
    inputs: what enters the linear layers with these weights, where a pass knows it of those before it; else it is
    measured for whoever asks. notes: what a user should know of what was done.
    """

    config: Config
    model: Model
    weights: Weights
    schemes: Mapping[str, Scheme] = field(default_factory=dict)
    tied_head: TiedHead = TiedHead()
    inputs: Inputs | None = None
    notes: tuple[str, ...] = ()


class Pass(Protocol):
    """One compression step with its settings."""

    @property
    def settings(self) -> PassSettings:
        """As in a recipe."""

    @property
    def needs(self) -> Needs:
        """What it asks of the data with these settings."""

    def apply(self, state: ModelState, observed: Observed, *, threads: int) -> ModelState:
        """Plans the step from names and shapes alone. Errors that need no weight are raised here.

        `observed` tells what `needs` asks for. The result has no `inputs` unless the pass knows what became of them.
        """


@runtime_checkable
class Reshaping(Pass, Protocol):
    """A pass that changes shapes and goes block by block: first in the shapes that there are, then at once."""

    def finish(self, state: ModelState) -> ModelState:
        """Of the state after the last block. Plans, as `apply` does. Where a pass does not go block by block, `apply`
        does this too."""
