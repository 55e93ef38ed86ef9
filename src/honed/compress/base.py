"""What every compression pass offers. Interfaces and the report only; one file a pass.

A pass maps (model, weights) to new weights. It reads no files and tokenizes nothing. Nothing is computed when it is
applied: each new weight is made when it is asked for, so that only one at a time is held in full.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Protocol

from honed.compress.calibrate import InputStatistics
from honed.encodings.base import Encoded
from honed.encodings.scheme import Scheme
from honed.models.base import DecoderModel

Weights = Mapping[str, Encoded]
"""Every weight of a model by its Hugging Face name; a tied head that is encoded stands under its own name too."""

Inputs = Callable[[], InputStatistics]
"""What the inputs of the linear layers look like with some weights: measured at the first call, kept from then on."""


@dataclass(frozen=True)
class TensorReport:
    """What became of one weight. `relative_error` is |decoded - original| / |original| in the Frobenius norm."""

    name: str
    encoding: str
    bytes_before: int
    bytes_after: int
    relative_error: float


@dataclass(frozen=True)
class Report:
    """What a pass did: one line for each weight that it changed, and what a reader should know beside."""

    name: str
    tensors: tuple[TensorReport, ...]
    notes: tuple[str, ...]


class Compressed(Protocol):
    """New weights. `schemes` is known at once and exact; `weight` computes."""

    @property
    def schemes(self) -> Mapping[str, Scheme]:
        """The encoding of every weight that this pass gives, dense ones included."""

    @property
    def with_head(self) -> Set[str]:
        """Weights that were changed along with a tied head, so that they fit it and no longer the embedding table."""

    @property
    def inputs(self) -> Inputs | None:
        """The inputs with these weights, where they follow from those with the weights before. None: to be measured."""

    def weight(self, name: str) -> Encoded:
        """Computes one weight. Not kept: a second call computes it again."""

    def report(self) -> Report:
        """On the weights computed so far."""


class Pass(Protocol):
    """One compression step with its settings."""

    @property
    def name(self) -> str:
        """As in a recipe."""

    def apply(self, model: DecoderModel, weights: Weights, *, threads: int, inputs: Inputs | None) -> Compressed:
        """Plans the step from names and shapes alone. Errors that need no weight are raised here.

        `inputs`: with these weights; None where there are no tokens to calibrate on, as no pass of the recipe needs
        them.
        """
