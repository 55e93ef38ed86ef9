"""LoRA (Hu et al. 2022): trains for each matrix the two factors of what is added to it."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from honed.compress.training.base import Tensors
from honed.compress.training.settings import LowRankTraining
from honed.errors import ParameterError


class LowRank:
    """See `base.Trained`. `matrices` are those of linear layers, of which some match. The one factor starts random, the
    other as zeros, so that nothing is added at first. A rank over that of a matrix is cut down to it."""

    def __init__(self, settings: LowRankTraining, weights: Tensors, matrices: Iterable[str], seed: int) -> None:
        self._before, self._factor = weights, settings.alpha / settings.rank
        self._chosen = matching(settings.weights, matrices)
        self._parameters: dict[str, Tensor] = {}
        random = torch.Generator().manual_seed(seed)
        for name in self._chosen:
            rows, columns = weights[name].shape
            rank = min(settings.rank, rows, columns)
            a = torch.randn(rank, columns, generator=random) / columns**0.5
            self._parameters[f"{name} a"] = a.to(weights[name].device).requires_grad_()
            self._parameters[f"{name} b"] = torch.zeros(rows, rank, device=weights[name].device).requires_grad_()

    @property
    def parameters(self) -> Tensors:
        return self._parameters

    def weights(self) -> dict[str, Tensor]:
        found = dict(self._before)
        for name in self._chosen:
            added = self._parameters[f"{name} b"] @ self._parameters[f"{name} a"]
            found[name] = torch.add(found[name], added, alpha=self._factor)
        return found

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


def matching(pattern: str, matrices: Iterable[str]) -> tuple[str, ...]:
    """ParameterError where no matrix of a linear layer matches."""
    names = tuple(matrices)
    found = tuple(name for name in names if fnmatchcase(name, pattern))
    if not found:
        raise ParameterError("train.weights", pattern, f"matches no matrix of a linear layer, such as {names[0]}")
    return found
