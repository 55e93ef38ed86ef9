"""Wanda (Sun et al. 2023): in each row of a linear layer, the weights with the least |w| * rms(x) become zero.

Block by block as in the paper: what enters a layer is measured where all blocks before it are pruned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from honed.compress.base import ModelState
from honed.compress.masks import Mask, least_of_rows, least_of_runs
from honed.compress.needs import Needs, Observed
from honed.compress.pruned import prune
from honed.compress.pruning_settings import PruningSettings


class WandaSettings(PruningSettings):
    """Settings of the pass `wanda`: `share` of each row."""

    kind: Annotated[Literal["wanda"], Field(alias="pass")]


@dataclass(frozen=True)
class Wanda:
    """See `compress.base.Pass`."""

    settings: WandaSettings
    needs: ClassVar[Needs] = Needs(frozenset({"mean_square"}), "blocks")

    def apply(self, state: ModelState, observed: Observed, *, threads: int) -> ModelState:
        """`threads` has no effect."""

        def choose(measured: str, values: NDArray[np.float32], share: float) -> Mask:
            scores = np.abs(values) * observed.inputs().rms(measured)
            run = self.settings.run
            return least_of_rows(scores, share) if run is None else least_of_runs(scores, *run)

        return prune(state, self.settings, observed, choose)
