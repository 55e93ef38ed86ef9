"""The optimizer that settings ask for, and its learning rate over the training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from honed.compress.training.settings import OptimizerSettings

LEAST_WARM = 0.02
"""Share of the greatest rate that a training starts with."""


def make_optimizer(settings: OptimizerSettings, parameters: Mapping[str, Tensor]) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019) or Adafactor (Shazeer and Stern 2018); vectors do not decay."""
    matrices = [value for value in parameters.values() if value.dim() > 1]
    vectors = [value for value in parameters.values() if value.dim() <= 1]
    groups: list[dict[str, Any]] = [
        {"params": values, "weight_decay": decay}
        for values, decay in ((matrices, settings.decay), (vectors, 0.0))
        if values
    ]
    if settings.name == "adafactor":
        return torch.optim.Adafactor(groups, lr=settings.rate)
    return torch.optim.AdamW(groups, lr=settings.rate, betas=(0.9, 0.95), fused=True)


def rate_at(settings: OptimizerSettings, progress: float) -> float:
    """The learning rate when that share of the training, from 0 to 1, is done."""
    if progress < settings.warm_up:
        return settings.rate * max(progress / settings.warm_up, LEAST_WARM)
    along = min((progress - settings.warm_up) / (1 - settings.warm_up), 1.0)
    return settings.rate * (settings.last + (1 - settings.last) * (1 + math.cos(math.pi * along)) / 2)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
