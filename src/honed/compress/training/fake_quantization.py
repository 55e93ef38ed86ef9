"""Rounds weights in training as the pass behind it will store them, and lets gradients through as if it had not: the
straight-through estimator (Bengio et al. 2013; Jacob et al. 2018).

Scales are those that the encoder itself finds. Between two times that it is asked, weights are rounded to the grid of
the last time, here; an encoding whose grid is not known here is asked for its values each time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from honed.encodings.base import Encoded
from honed.encodings.codebook import Codebook
from honed.encodings.dense import Dense
from honed.encodings.descriptor import Scheme
from honed.encodings.encode import encode
from honed.encodings.int4 import Int4
from honed.encodings.int8 import Int8


@dataclass(frozen=True)
class Rounding:
    """How a weight is to be stored, and whether the scale of least error is searched for."""

    scheme: Scheme
    search: bool


@dataclass(frozen=True)
class Grid:
    """Of a matrix [out, in] in groups: codes from `low` to `high`, w = scale * (code - zero) + minimum, or where there
    is a `table`, scale times one of its values. scale, zero, minimum: [out, groups, 1]."""

    scale: Tensor
    zero: Tensor
    minimum: Tensor
    table: Tensor
    low: int
    high: int

    def rounded(self, weight: Tensor) -> Tensor:
        groups = weight.reshape(len(weight), self.scale.shape[1], -1)
        divisor = torch.where(self.scale == 0, 1.0, self.scale)
        if self.table.numel():
            borders = (self.table[1:] + self.table[:-1]) / 2
            return (self.table[torch.bucketize(groups / divisor, borders)] * self.scale).reshape(weight.shape)
        codes = ((groups - self.minimum) / divisor + self.zero).round_().clamp_(self.low, self.high)
        return codes.sub_(self.zero).mul_(self.scale).add_(self.minimum).reshape(weight.shape)


class FakeQuantization:
    """`roundings` by the names that weights have in training. Grids are found when `refresh` is called."""

    def __init__(self, roundings: Mapping[str, Rounding], threads: int) -> None:
        self._roundings, self._threads = roundings, threads
        self._grids: dict[str, Grid] = {}

    def refresh(self, weights: Mapping[str, Tensor]) -> None:
        """Takes the grids that the encoders find for these weights."""
        for name in self._roundings:
            grid = grid_of(self._encoded(name, weights[name]), weights[name].device)
            if grid is not None:
                self._grids[name] = grid

    def rounded(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights with those that are to be stored otherwise rounded; gradients pass through."""
        found = dict(weights)
        for name in self._roundings:
            weight = weights[name]
            with torch.no_grad():
                if name in self._grids:
                    values = self._grids[name].rounded(weight)
                else:
                    values = _tensor(self._encoded(name, weight).decode(), weight.device)
                moved = values - weight
            found[name] = weight + moved
        return found

    def state(self) -> dict[str, Tensor]:
        """The grids, to go on with the same ones."""
        found: dict[str, Tensor] = {}
        for name, grid in self._grids.items():
            range_of_codes = torch.tensor([grid.low, grid.high])
            parts = (grid.scale, grid.zero, grid.minimum, grid.table, range_of_codes)
            found |= {f"{name} {number}": part for number, part in enumerate(parts)}
        return found

    def restore(self, state: Mapping[str, Tensor], device: torch.device) -> None:
        """The inverse of `state`."""
        for name in self._roundings:
            if f"{name} 0" in state:
                scale, zero, minimum, table = (state[f"{name} {number}"].to(device) for number in range(4))
                low, high = (int(code) for code in state[f"{name} 4"])
                self._grids[name] = Grid(scale, zero, minimum, table, low, high)

    def _encoded(self, name: str, weight: Tensor) -> Encoded:
        rounding = self._roundings[name]
        dense = Dense(np.ascontiguousarray(weight.detach().cpu().numpy()), "float32")
        return encode(dense, rounding.scheme, name=name, search=rounding.search, threads=self._threads)


def grid_of(weight: Encoded, device: torch.device) -> Grid | None:
    """The grid of a weight; None of an encoding that is not known here."""
    none = torch.zeros(0, device=device)
    zero = torch.zeros(1, 1, 1, device=device)
    if isinstance(weight, Int8):
        return Grid(_groups(weight.scales, weight, device), zero, zero, none, -127, 127)
    if isinstance(weight, Codebook):
        table = _tensor(weight.values.astype(np.float32), device)
        return Grid(_groups(weight.scales, weight, device), zero, zero, table, 0, 15)
    if isinstance(weight, Int4):
        scale = _groups(weight.scales, weight, device)
        if weight.offsets is None:
            return Grid(scale, zero + 8, zero, none, 0, 15)
        offsets = _groups(weight.offsets, weight, device)
        if weight.offset == "minimum":
            return Grid(scale, zero, offsets, none, 0, 15)
        return Grid(scale, offsets, zero, none, 0, 15)
    return None


def _groups(values: NDArray[np.generic], weight: Encoded, device: torch.device) -> Tensor:
    return _tensor(values.astype(np.float32).reshape(weight.shape[0], -1, 1), device)


def _tensor(values: NDArray[np.float32], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(device)
