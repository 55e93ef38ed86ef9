"""Magnitude: the smallest weights become zero, whatever they are multiplied with (Han et al. 2015).

The least of each layer by default; of each row; or of the whole model, where layers of small weights lose more than
others. No calibration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from honed.compress.base import ModelState, Weights
from honed.compress.masks import Mask, least_of_all, least_of_rows, least_of_runs
from honed.compress.needs import Needs, Observed
from honed.compress.pruned import finite_matrix, prune, shares
from honed.compress.pruning_settings import PruningSettings
from honed.encodings.base import Encoded

_BUCKETS = 1 << 16
_LOW_BITS = np.uint32(16)


class MagnitudeSettings(PruningSettings):
    """Settings of the pass `magnitude`.

    among: the least of each `layer`, of each `row`, or of the whole `model`, whose layers then have shares of their own
    that together come to `share`; an override may leave layers alone there, and no more.
    """

    kind: Annotated[Literal["magnitude"], Field(alias="pass")]
    among: Literal["layer", "row", "model"] = "layer"

    @model_validator(mode="after")
    def _one_threshold(self) -> MagnitudeSettings:
        if self.run is not None and self.among != "layer":
            raise ValueError(f"among {self.among}: the pattern {self.pattern} chooses within each run of inputs")
        if self.among == "model" and any(override.share for override in self.overrides):
            raise ValueError("among model: overrides must be 0, as shares follow from one threshold")
        return self


@dataclass(frozen=True)
class Magnitude:
    """See `compress.base.Pass`."""

    settings: MagnitudeSettings
    needs: ClassVar[Needs] = Needs()

    def apply(self, state: ModelState, observed: Observed, *, threads: int) -> ModelState:
        """`threads` has no effect. Of a whole model the weights are read twice before the first is made."""

        def choose(measured: str, values: NDArray[np.float32], share: float) -> Mask:
            scores = np.abs(values)
            if self.settings.run is not None:
                return least_of_runs(scores, *self.settings.run)
            return least_of_rows(scores, share) if self.settings.among == "row" else least_of_all(scores, share)

        if self.settings.among != "model":
            return prune(state, self.settings, observed, choose)
        names = tuple(shares(state.model, state.weights, self.settings, observed))
        found = cache(lambda: shares_of_model(state.weights, names, self.settings.usual_share))
        return prune(state, self.settings, observed, choose, lambda name: found()[name])


def shares_of_model(weights: Weights, names: Sequence[str], share: float) -> dict[str, float]:
    """Which share of each weight is among the least `share` of all of them together; of equal ones those count first
    that come first. Reads each weight twice and holds one."""
    counts = np.zeros(_BUCKETS, np.int64)
    sizes: dict[str, int] = {}
    for name in names:
        bits = _magnitude_bits(weights[name], name)
        sizes[name] = bits.size
        counts += np.bincount(bits >> _LOW_BITS, minlength=_BUCKETS)
    wanted = round(share * sum(sizes.values()))
    # The upper half of the bits of the threshold is the bucket in which the count is reached; of the values in it the
    # lower halves are sorted.
    bucket = int(np.searchsorted(np.cumsum(counts), wanted))
    below: dict[str, int] = {}
    within: dict[str, NDArray[np.uint32]] = {}
    for name in names:
        bits = _magnitude_bits(weights[name], name)
        upper = bits >> _LOW_BITS
        below[name] = int(np.count_nonzero(upper < bucket))
        within[name] = bits[upper == bucket]
    missing = wanted - sum(below.values())
    border = np.sort(np.concatenate(list(within.values())))[missing - 1] if missing else np.uint32(0)
    found: dict[str, float] = {}
    equal = missing - sum(int(np.count_nonzero(bits < border)) for bits in within.values())
    for name in names:
        less = int(np.count_nonzero(within[name] < border)) if missing else 0
        same = min(int(np.count_nonzero(within[name] == border)), equal) if missing else 0
        equal -= same
        found[name] = (below[name] + less + same) / sizes[name]
    return found


def _magnitude_bits(weight: Encoded, name: str) -> NDArray[np.uint32]:
    """Of float32 magnitudes: they are in the order of the values."""
    return np.abs(finite_matrix(weight, name)).ravel().view(np.uint32)
