"""L1: the weights of a layer change as little of its outputs as can be, and pay for their size; many become zero.

Layer by layer the reconstruction error plus the L1 norm of the weights is minimized from the weights as they are, under
the penalty with which the share asked for is zero (`lasso.py`). Then those that are left are fitted again without the
penalty. Block by block, each told of what enters it where all before it are pruned.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from honed.compress.base import ModelState
from honed.compress.lasso import Scaled, refit, scaled, solve
from honed.compress.last_gram import OfLastGram
from honed.compress.masks import least_of_runs
from honed.compress.needs import Needs, Observed
from honed.compress.pruned import Remaining, prune
from honed.compress.pruning_settings import PruningSettings


class L1Settings(PruningSettings):
    """Settings of the pass `l1`.

    penalty: each weight pays by its size (`weight`), or by that of what it is multiplied to (`output`: times the root
    mean square of its input, so that the scale of an input does not count). damping: a share of the mean square of each
    input that is added to it. steps: of the search, and again of the fit, at most. With a pattern the search is for
    its share, and the largest of each run are left.
    """

    kind: Annotated[Literal["l1"], Field(alias="pass")]
    penalty: Literal["weight", "output"] = "output"
    damping: Annotated[float, Field(gt=0, le=1)] = 0.01
    steps: Annotated[int, Field(ge=1, le=10_000)] = 60
    refit: bool = True


@dataclass(frozen=True)
class L1:
    """See `compress.base.Pass`."""

    settings: L1Settings
    needs: ClassVar[Needs] = Needs(frozenset({"gram"}), "blocks")
    inputs: OfLastGram[Scaled] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", OfLastGram(partial(scaled, damping=self.settings.damping)))

    def apply(self, state: ModelState, observed: Observed, *, threads: int) -> ModelState:
        """`threads` has no effect."""
        settings = self.settings

        def choose(measured: str, values: NDArray[np.float32], share: float) -> Remaining:
            inputs = self.inputs(observed.inputs().gram[measured])
            counts = inputs.size if settings.penalty == "output" else np.ones_like(inputs.size)
            found = solve(values, inputs, counts, share=share, steps=settings.steps)
            pruned, left = found.pruned, found.values
            if settings.run is not None:
                # Of a run with more zeros than are asked for, the largest weights before stay.
                sizes = np.abs(left) * inputs.size
                sizes += np.abs(values) * inputs.size * np.float32(1e-6)
                pruned = least_of_runs(sizes, *settings.run)
            if settings.refit:
                left = refit(values, inputs, left, pruned, steps=settings.steps)
            return Remaining.of(np.where(pruned, np.float32(0), left), pruned)

        return prune(state, settings, observed, choose)
