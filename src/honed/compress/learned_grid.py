"""The grid of an encoded matrix as something that gradients move: an offset to the rounding of each weight, and factors
to the ends of the range of each group.

After Cheng et al. 2023, "Optimize Weight Rounding via Signed Gradient Descent" (SignRound), equations 3 to 6: a
weight w becomes s * (clip(round(w / s + V) + z) - z), where V lies within half a step, and s and z follow from the
range of the group, its top times alpha and its bottom times beta. Rounding passes gradients on as if it were not there,
clipping stops them. Here the range starts at the one that an encoder found, instead of the extremes of the group.
Values of a codebook lie at unequal steps; V is then in steps of the place where a weight lies.

In torch; a file that is imported only where a pass learns. Not here: whose gradient it is (`learned_rounding.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from honed.encodings.codebook import Codebook
from honed.encodings.column_grid import Gridded
from honed.encodings.int4 import Int4
from honed.encodings.int8 import Int8

LEAST, MOST = 0.5, 1.5
"""Of the factors to the range of a group."""


@dataclass(frozen=True)
class Learned:
    """rounding: V of each weight, [out, groups, inputs of a group], in steps; top, bottom: alpha and beta of each
    group, [out, groups, 1]. Where the grid has one end only, `bottom` has no effect."""

    rounding: Tensor
    top: Tensor
    bottom: Tensor

    def clone(self) -> Learned:
        return Learned(self.rounding.clone(), self.top.clone(), self.bottom.clone())


@dataclass(frozen=True)
class _Range:
    """value = scale * (code - zeros) + minimums, as it is stored; [out, groups, 1] each."""

    scales: Tensor
    zeros: Tensor | float
    minimums: Tensor | float


@dataclass(frozen=True)
class _Rounded:
    """In buffers of the grid, which the next rounding fills anew. codes: places in the values of the grid, as floats.
    values: what they decode to before the scale. exact: w / scale in the same units. aimed: the place that is rounded;
    it is more than half a step from its code where that was clipped."""

    codes: Tensor
    values: Tensor
    exact: Tensor
    aimed: Tensor


class LearnedGrid:
    """Of one matrix, `weight` float32 [out, in], which `like` is the rounded form of; whole groups."""

    def __init__(self, weight: NDArray[np.float32], like: Gridded) -> None:
        self._like = like
        rows, width = weight.shape
        group = like.group or width
        if width % group:
            raise ValueError(f"{width} inputs are not whole groups of {group}")
        self._shape = (rows, width // group, group)
        self._weight = torch.from_numpy(np.ascontiguousarray(weight)).reshape(self._shape)
        self._scales = self._of_groups(like.scales)
        self._offset = like.offset if isinstance(like, Int4) else "symmetric"
        self._bottom: Tensor | None = None
        if isinstance(like, Int4) and like.offsets is not None:
            offsets = self._of_groups(like.offsets)
            self._bottom = offsets if self._offset == "minimum" else -offsets * self._scales
            self._top = self._bottom + 15 * self._scales
        self._low, self._high = (-127, 127) if isinstance(like, Int8) else (0, 15)
        if isinstance(like, Codebook):
            values, self._places = np.unique(np.array(like.table), return_index=True)
            self._values: Tensor | None = torch.from_numpy(values.astype(np.float32))
        else:
            self._values = None
        # Memory that is new to a process costs more than what is computed in it.
        self._buffers = tuple(torch.empty(self._shape) for _ in range(4))

    def start(self) -> Learned:
        """Where each weight is rounded to the nearest value of the range that was found."""
        ones = torch.ones((*self._shape[:2], 1))
        return Learned(torch.zeros(self._shape), ones, ones.clone())

    def values(self, learned: Learned) -> Tensor:
        """The matrix that is multiplied with, [out, in]: exactly what `encoded` decodes to."""
        at = self._range(learned)
        found = self._rounded(learned, at).values * at.scales
        return found.add_(at.minimums).reshape(self._shape[0], -1)

    def encoded(self, learned: Learned) -> Gridded:
        """In the encoding of `like`."""
        at, like, rows = self._range(learned), self._like, self._shape[0]
        codes = self._rounded(learned, at).codes.reshape(rows, -1).numpy()
        scales: NDArray[Any] = at.scales.numpy().astype(like.scales.dtype).reshape(like.scales.shape)
        if isinstance(like, Codebook):
            return replace(like, codes=self._places[codes.astype(np.intp)].astype(np.uint8), scales=scales)
        codes = codes.astype(like.codes.dtype)
        if isinstance(like, Int8):
            return replace(like, codes=codes, scales=scales)
        offsets: NDArray[Any] | None = like.offsets
        if offsets is not None:
            moved = at.minimums if self._offset == "minimum" else at.zeros
            assert isinstance(moved, Tensor)
            offsets = moved.numpy().astype(offsets.dtype).reshape(offsets.shape)
        return replace(like, codes=codes, scales=scales, offsets=offsets)

    def descend(self, learned: Learned, gradient: Tensor, step: float, step_of_range: float) -> None:
        """Moves what is learned against the sign of its gradient, given that of `values`, [out, in]."""
        at = self._range(learned)
        found = self._rounded(learned, at)
        slope = gradient.reshape(self._shape)
        # Of each weight in place: what is done to all of them costs as much as the products do.
        inside = found.aimed.sub_(found.codes).abs_().le_(0.5).mul_(slope)
        by_scale = (found.values.mul_(slope) - found.exact.mul_(inside)).sum(-1, keepdim=True)
        clipped = (slope - inside).sum(-1, keepdim=True)  # what a shift of the grid moves
        learned.rounding.sub_(inside.mul_(at.scales).sign_(), alpha=step).clamp_(-0.5, 0.5)
        if self._bottom is None:
            tops, bottoms = by_scale * self._scales, torch.zeros_like(by_scale)
        else:
            top, bottom = self._top / 15, -self._bottom / 15  # of the scale, by the factors
            if self._offset == "minimum":
                tops, bottoms = by_scale * top, by_scale * bottom + clipped * self._bottom
            else:
                # z = -bottom * beta / s
                divisors = torch.where(at.scales == 0, 1.0, at.scales)
                by_zero = -clipped * at.scales
                of_scale = by_scale - by_zero * at.zeros / divisors
                tops, bottoms = of_scale * top, of_scale * bottom - by_zero * self._bottom / divisors
        learned.top.sub_(torch.sign(tops), alpha=step_of_range).clamp_(LEAST, MOST)
        learned.bottom.sub_(torch.sign(bottoms), alpha=step_of_range).clamp_(LEAST, MOST)

    def _of_groups(self, stored: NDArray[Any]) -> Tensor:
        return torch.from_numpy(stored.astype(np.float32)).reshape(*self._shape[:2], 1)

    def _range(self, learned: Learned) -> _Range:
        if self._bottom is None:
            middle = 8.0 if isinstance(self._like, Int4) else 0.0
            return _Range(self._stored(self._scales * learned.top), middle, 0.0)
        bottom = self._bottom * learned.bottom
        scales = self._stored((self._top * learned.top - bottom) / 15)
        if self._offset == "minimum":
            return _Range(scales, 0.0, self._stored(bottom))
        zeros = torch.round(-bottom / torch.where(scales == 0, 1.0, scales)).clamp_(0, 15)
        return _Range(scales, zeros, 0.0)

    def _stored(self, scales: Tensor) -> Tensor:
        return scales if self._like.scales.dtype == np.float32 else scales.clamp(-65504, 65504).half().float()

    def _rounded(self, learned: Learned, at: _Range) -> _Rounded:
        exact, aimed, codes, values = self._buffers
        divisors = torch.where(at.scales == 0, 1.0, at.scales)
        if isinstance(at.minimums, Tensor):
            torch.sub(self._weight, at.minimums, out=exact).div_(divisors)
        else:
            torch.div(self._weight, divisors, out=exact)
        if self._values is not None:
            return self._looked_up(learned, self._values)
        torch.add(exact, learned.rounding, out=aimed).add_(at.zeros)
        torch.round(aimed, out=codes).clamp_(self._low, self._high)
        values.copy_(codes).sub_(at.zeros)
        return _Rounded(codes, values, exact, aimed)

    def _looked_up(self, learned: Learned, table: Tensor) -> _Rounded:
        """Between two neighbours a weight has a place from the one to the other, and beyond the last two as between
        them; V moves the place."""
        exact, aimed, codes, values = self._buffers
        below = (torch.bucketize(exact, table, right=True) - 1).clamp_(0, len(table) - 2)
        before = table[below]
        torch.sub(exact, before, out=aimed).div_(table[below + 1] - before).add_(below).add_(learned.rounding)
        torch.round(aimed, out=codes).clamp_(0, len(table) - 1)
        values.copy_(table[codes.long()])
        return _Rounded(codes, values, exact, aimed)
