"""Trains the weights themselves."""

from __future__ import annotations

from fnmatch import fnmatchcase

from torch import Tensor

from honed.compress.training.base import Tensors
from honed.compress.training.settings import FullTraining
from honed.errors import ParameterError


class Full:
    """See `base.Trained`. ParameterError where no weight matches."""

    def __init__(self, settings: FullTraining, weights: Tensors) -> None:
        chosen = [name for name in weights if fnmatchcase(name, settings.weights)]
        if not chosen:
            raise ParameterError("train.weights", settings.weights, f"matches no weight, such as {next(iter(weights))}")
        self.parameters: Tensors = {name: weights[name].clone().requires_grad_() for name in chosen}
        self._all = {name: self.parameters.get(name, weight) for name, weight in weights.items()}

    def weights(self) -> dict[str, Tensor]:
        return dict(self._all)

    def penalty(self) -> Tensor | None:
        return None

    def after_backward(self, progress: float) -> None:
        pass

    def after_step(self) -> None:
        pass

    def state(self) -> dict[str, Tensor]:
        return {}

    def restore(self, state: Tensors) -> None:
        pass
