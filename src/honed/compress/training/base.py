"""What is trained of a model, and how its weights follow from that. Interfaces only; one file a method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

Tensors = Mapping[str, Tensor]


class Trained(Protocol):
    """A method with what it trains."""

    @property
    def parameters(self) -> Tensors:
        """What is trained, float32, by names of its own."""

    def weights(self) -> dict[str, Tensor]:
        """Every weight of the model as it now is, differentiable by the parameters."""

    def penalty(self) -> Tensor | None:
        """What is added to the loss of a step."""

    def after_backward(self, progress: float) -> None:
        """Is called with the gradients of a step, before the parameters move by them."""

    def after_step(self) -> None:
        """Is called when the parameters have moved."""

    def state(self) -> dict[str, Tensor]:
        """What it has to remember besides the parameters."""

    def restore(self, state: Tensors) -> None:
        """The inverse of `state`."""
