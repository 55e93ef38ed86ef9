"""Which windows of tokens a step takes in, and which are kept apart to judge by: by the seed alone, so that a training
that goes on takes the same ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from honed.errors import ParameterError

_HELD_OUT_SHARE = 8
"""One window in so many is kept apart at most."""


class Windows:
    """`tokens` [windows, tokens of each]. Each is taken in once before any is taken in again, in another order each
    time. ParameterError for fewer than two windows, one too short to predict in, or a token out of vocabulary."""

    def __init__(self, windows: Sequence[Sequence[int]], vocabulary: int, *, held_out: int, batch: int, seed: int):
        lengths = {len(window) for window in windows}
        if len(windows) < 2 or len(lengths) != 1 or min(lengths) < 2:
            problem = "must be two or more of one length, of two tokens or more"
            raise ParameterError("windows to train on", [len(windows), *sorted(lengths)], problem)
        self.tokens: NDArray[np.int64] = np.array(windows, dtype=np.int64)
        if self.tokens.min() < 0 or self.tokens.max() >= vocabulary:
            raise ParameterError("token to train on", int(self.tokens.max()), f"must be from 0 to {vocabulary - 1}")
        order = np.random.default_rng([seed, 0]).permutation(len(windows))
        apart = min(held_out, max(1, len(windows) // _HELD_OUT_SHARE))
        self.held_out = np.sort(order[:apart])
        self._trained = np.sort(order[apart:])
        self._batch, self._seed = batch, seed

    @property
    def count(self) -> int:
        """Windows that are trained on."""
        return len(self._trained)

    def of_step(self, step: int) -> NDArray[np.intp]:
        """The numbers of the windows of a step, which are counted from 0."""
        places = np.arange(step * self._batch, (step + 1) * self._batch)
        turns = places // self.count
        orders = {int(turn): self._order(int(turn)) for turn in np.unique(turns)}
        chosen = [orders[int(turn)][place % self.count] for turn, place in zip(turns, places, strict=True)]
        return np.array(chosen, dtype=np.intp)

    def taken(self, numbers: NDArray[np.intp], device: torch.device) -> Tensor:
        return torch.from_numpy(self.tokens[numbers]).to(device)

    def _order(self, turn: int) -> NDArray[np.intp]:
        order = np.random.default_rng([self._seed, 1 + turn]).permutation(self.count)
        return self._trained[order]
