"""Taylor: the weights with which the loss changes least, |w * dL/dw|, become zero (Molchanov et al. 2017, 2019).

By how much a weight of zero changes the loss to first order, over calibration text, by the gradients of the whole model
at once (`gradients.py`), which asks for a memory of twice its weights in float32. Needs torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from honed.compress.base import ModelState
from honed.compress.masks import Mask, least_of_all, least_of_rows, least_of_runs
from honed.compress.needs import GradientMean, Needs, Observed
from honed.compress.pruned import measured_names, prune, shares
from honed.compress.pruning_settings import PruningSettings


class TaylorSettings(PruningSettings):
    """Settings of the pass `taylor`.

    gradients: `rms` over windows of text, or their `plain` mean, which is near zero where a model has learned all that
    it can from such text. among: the least of each `layer`, or of each `row`.
    """

    kind: Annotated[Literal["taylor"], Field(alias="pass")]
    gradients: GradientMean = "rms"
    among: Literal["layer", "row"] = "layer"

    @model_validator(mode="after")
    def _within_runs(self) -> TaylorSettings:
        if self.run is not None and self.among == "row":
            raise ValueError(f"among row: the pattern {self.pattern} chooses within each run of inputs")
        return self


@dataclass(frozen=True)
class Taylor:
    """See `compress.base.Pass`."""

    settings: TaylorSettings
    needs: ClassVar[Needs] = Needs(frozenset({"gradient"}))

    def apply(self, state: ModelState, observed: Observed, *, threads: int) -> ModelState:
        """`threads` may change the last bits of gradients, and so which of two weights that matter as much goes."""
        apart = measured_names(state.model)
        pruned = shares(state.model, state.weights, self.settings, observed)
        names = frozenset(apart.get(name, name) for name in pruned)
        gradients = cache(lambda: observed.gradients(names, self.settings.gradients))

        def choose(measured: str, values: NDArray[np.float32], share: float) -> Mask:
            scores = np.abs(values * gradients()[measured])
            if self.settings.run is not None:
                return least_of_runs(scores, *self.settings.run)
            return least_of_rows(scores, share) if self.settings.among == "row" else least_of_all(scores, share)

        return prune(state, self.settings, observed, choose)
