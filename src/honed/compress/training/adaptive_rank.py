"""AdaLoRA (Zhang et al. 2023): trains for each matrix P diag(e) Q that is added to it, and gives up triplets of a
column, a value and a row that the loss feels least, wherever they are, until a budget of them is left.

What the loss feels of a parameter is |w dw|, smoothed over steps, times how much that varies (the paper's equations 8
to 10); of a triplet it is that of its value and the means of its column and its row.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from honed.compress.training.base import Tensors
from honed.compress.training.low_rank import matching
from honed.compress.training.settings import AdaptiveRankTraining

SMOOTHING = 0.85
"""Of sensitivity, and of how much it varies; both as in the paper."""
_PARTS = ("p", "e", "q")


class AdaptiveRank:
    """See `base.Trained`. P and Q start random, e as zeros. What is given up has e of 0 from then on."""

    def __init__(self, settings: AdaptiveRankTraining, weights: Tensors, matrices: Iterable[str], seed: int) -> None:
        self._settings, self._before = settings, weights
        self._chosen = matching(settings.weights, matrices)
        self._parameters: dict[str, Tensor] = {}
        self._kept: dict[str, Tensor] = {}
        random = torch.Generator().manual_seed(seed)
        for name in self._chosen:
            (rows, columns), device = weights[name].shape, weights[name].device
            rank = min(settings.initial_rank, rows, columns)
            made = {
                "p": torch.randn(rows, rank, generator=random) / rows**0.5,
                "e": torch.zeros(rank),
                "q": torch.randn(rank, columns, generator=random) / columns**0.5,
            }
            for part in _PARTS:
                self._parameters[f"{name} {part}"] = made[part].to(device).requires_grad_()
            self._kept[name] = torch.ones(rank, device=device)
        self._felt = {name: torch.zeros_like(value) for name, value in self._parameters.items()}
        self._varies = {name: torch.zeros_like(value) for name, value in self._parameters.items()}

    @property
    def parameters(self) -> Tensors:
        return self._parameters

    @property
    def ranks(self) -> dict[str, int]:
        """Triplets that are left of each matrix."""
        return {name: int(kept.sum()) for name, kept in self._kept.items()}

    def weights(self) -> dict[str, Tensor]:
        found = dict(self._before)
        factor = self._settings.alpha / self._settings.rank
        for name in self._chosen:
            p, e, q = (self._parameters[f"{name} {part}"] for part in _PARTS)
            found[name] = torch.add(found[name], (p * (e * self._kept[name])) @ q, alpha=factor)
        return found

    def penalty(self) -> Tensor | None:
        """How far the columns of P and the rows of Q are from orthogonal: |P'P - I|^2 + |QQ' - I|^2, the mean over
        matrices."""
        if not self._settings.orthogonality:
            return None
        terms = []
        for name in self._chosen:
            p, q = self._parameters[f"{name} p"], self._parameters[f"{name} q"]
            one = torch.eye(p.shape[1], device=p.device)
            terms.append((p.T @ p - one).square().sum() + (q @ q.T - one).square().sum())
        return torch.stack(terms).mean() * self._settings.orthogonality

    def after_backward(self, progress: float) -> None:
        for name, value in self._parameters.items():
            if value.grad is None:
                continue
            feels = (value.detach() * value.grad).abs()
            self._felt[name].mul_(SMOOTHING).add_(feels, alpha=1 - SMOOTHING)
            varies = (feels - self._felt[name]).abs()
            self._varies[name].mul_(SMOOTHING).add_(varies, alpha=1 - SMOOTHING)
        self._give_up(self._budget(progress))

    def after_step(self) -> None:
        with torch.no_grad():
            for name, kept in self._kept.items():
                self._parameters[f"{name} e"].mul_(kept)

    def state(self) -> dict[str, Tensor]:
        kinds = {"kept": self._kept, "felt": self._felt, "varies": self._varies}
        return {f"{kind} {name}": value for kind, values in kinds.items() for name, value in values.items()}

    def restore(self, state: Tensors) -> None:
        for kind, values in (("kept", self._kept), ("felt", self._felt), ("varies", self._varies)):
            for name in values:
                values[name] = state[f"{kind} {name}"].to(values[name].device)

    def _budget(self, progress: float) -> int:
        """Triplets of all matrices: falls from all of them along a cube (equation 12)."""
        first = sum(kept.numel() for kept in self._kept.values())
        last = min(self._settings.rank * len(self._chosen), first)
        begin, end = self._settings.from_progress, self._settings.to_progress
        left = 1 - min(max((progress - begin) / (end - begin), 0.0), 1.0)
        return last + round((first - last) * left**3)

    def _give_up(self, budget: int) -> None:
        if budget >= sum(self.ranks.values()):
            return
        counts = {name: self._counts(name) for name in self._chosen}
        # Those that were given up stay so: what they are for is learned by others by now.
        every = torch.cat([counts[name].masked_fill(self._kept[name] == 0, -1.0) for name in self._chosen])
        best = torch.zeros_like(every)
        best[torch.sort(every, descending=True, stable=True).indices[:budget]] = 1.0
        parts = torch.split(best, [counts[name].numel() for name in self._chosen])
        for name, kept in zip(self._chosen, parts, strict=True):
            self._kept[name] = kept.clone()

    def _counts(self, name: str) -> Tensor:
        p, e, q = (self._felt[f"{name} {part}"] * self._varies[f"{name} {part}"] for part in _PARTS)
        return e + p.mean(0) + q.mean(1)
