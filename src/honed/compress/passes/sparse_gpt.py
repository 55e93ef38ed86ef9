"""SparseGPT (Frantar and Alistarh 2023): weights of every linear layer become zero, input by input, each made up for by
the inputs that are left.

Block by block, each told of what enters it where all before it are pruned. How is in `sparse_feedback.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from honed.compress.base import ModelState
from honed.compress.error_feedback import Feedback, feedback
from honed.compress.last_gram import OfLastGram
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


@dataclass(frozen=True)
class SparseGpt:
    """See `compress.base.Pass`."""

    settings: SparseGptSettings
    needs: ClassVar[Needs] = Needs(frozenset({"gram"}), "blocks")
    factor: OfLastGram[Feedback] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        damping, by_activation = self.settings.damping, self.settings.order == "activation"
        make = partial(feedback, damping=damping, by_activation=by_activation)
        object.__setattr__(self, "factor", OfLastGram(make))

    def apply(self, state: ModelState, observed: Observed, *, threads: int) -> ModelState:
        """`threads` has no effect."""

        def choose(measured: str, values: NDArray[np.float32], share: float) -> Remaining:
            found = self.factor(observed.inputs().gram[measured])
            return Remaining.of(*prune_with_feedback(values, found, share=share, run=self.settings.run))

        return prune(state, self.settings, observed, choose)
