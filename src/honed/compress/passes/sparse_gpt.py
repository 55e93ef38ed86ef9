"""SparseGPT (Frantar and Alistarh 2023): weights of every linear layer become zero, input by input, each made up for by
the inputs that are left.

Block by block, each told of what enters it where all before it are pruned. How is in `sparse_feedback.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from honed.compress.base import ModelState
from honed.compress.error_feedback import Feedback, feedback
from honed.compress.needs import Needs, Observed
from honed.compress.pruned import Remaining, prune
from honed.compress.pruning_settings import PruningSettings
from honed.compress.sparse_feedback import prune_with_feedback


class SparseGptSettings(PruningSettings):
    """Settings of the pass `sparse_gpt`: `share` of each 128 inputs of a layer.

    damping: a share of the mean of the diagonal of the Gram matrix that is added to the diagonal. order: inputs as they
    lie (`stored`), or those of the largest activations first.
    """

    kind: Annotated[Literal["sparse_gpt"], Field(alias="pass")]
    damping: Annotated[float, Field(gt=0, le=1)] = 0.01
    order: Literal["stored", "activation"] = "stored"

    @model_validator(mode="after")
    def _runs_in_order(self) -> SparseGptSettings:
        if self.run is not None and self.order == "activation":
            raise ValueError(f"pattern {self.pattern} needs order: stored, as runs are of inputs as they lie")
        return self


class LastFactor:
    """That of the Gram matrix that was asked for last: layers with one input are told of one matrix, and ask one after
    the other."""

    def __init__(self) -> None:
        self._last: tuple[NDArray[np.float64], Feedback] | None = None

    def of(self, gram: NDArray[np.float64], settings: SparseGptSettings) -> Feedback:
        if self._last is None or self._last[0] is not gram:
            self._last = None  # before the next one is made
            found = feedback(gram, damping=settings.damping, by_activation=settings.order == "activation")
            self._last = gram, found
        return self._last[1]


@dataclass(frozen=True)
class SparseGpt:
    """See `compress.base.Pass`."""

    settings: SparseGptSettings
    needs: ClassVar[Needs] = Needs(frozenset({"gram"}), "blocks")
    factor: LastFactor = field(default_factory=LastFactor, compare=False)

    def apply(self, state: ModelState, observed: Observed, *, threads: int) -> ModelState:
        """`threads` has no effect."""

        def choose(measured: str, values: NDArray[np.float32], share: float) -> Remaining:
            found = self.factor.of(observed.inputs().gram[measured], self.settings)
            return Remaining.of(*prune_with_feedback(values, found, share=share, run=self.settings.run))

        return prune(state, self.settings, observed, choose)
