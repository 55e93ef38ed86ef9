"""GPTQ (Frantar et al. 2022): every linear layer to int8, int4 or a codebook, input by input, each error made up for.

What a weight becomes is chosen as for `round_to_nearest`; which codes it has is chosen so that the outputs on
calibration text change least, block by block, each told of what enters it where all before it are rounded. How is in
`error_feedback.py`. Embeddings, norms and biases stay dense.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from honed.compress.base import ModelState, Weights
from honed.compress.error_feedback import Feedback, feedback, round_again, round_with_feedback
from honed.compress.last_gram import OfLastGram
from honed.compress.layer_schemes import LayerSchemes, choose_schemes
from honed.compress.layer_settings import EncodingSettings
from honed.compress.linears import HEAD, find_linears
from honed.compress.needs import Needs, Observed
from honed.compress.shared_tables import SharedTables
from honed.compress.weights import ChangedWeights
from honed.encodings.base import Encoded
from honed.encodings.column_grid import Gridded
from honed.encodings.dense import Dense
from honed.encodings.encode import encode


class GptqSettings(EncodingSettings):
    """Settings of the pass `gptq`.

    damping: a share of the mean of the diagonal of the Gram matrix that is added to the diagonal. order: inputs as they
    lie (`stored`), or those of the largest activations first. groups: the scales of a group are those of the weights as
    they were (`static`), or of the weights as moved when it is reached (`moved`). zeros: weights that are zero, as a
    pass before has pruned them, stay so (`kept`), or errors move into them as into others (`moved`). sweeps: how many
    times each input is then rounded again with all others as they are.
    """

    kind: Annotated[Literal["gptq"], Field(alias="pass")]
    damping: Annotated[float, Field(gt=0, le=1)] = 0.01
    order: Literal["stored", "activation"] = "activation"
    groups: Literal["static", "moved"] = "static"
    zeros: Literal["moved", "kept"] = "moved"
    sweeps: Annotated[int, Field(ge=0, le=100)] = 0

    @model_validator(mode="after")
    def _groups_in_order(self) -> GptqSettings:
        if self.groups == "moved" and self.order == "activation":
            raise ValueError("groups: moved needs order: stored, as a group is reached at once only there")
        overridden = [override.setting for override in self.overrides if override.setting != "dense"]
        if any(setting.weights.sparse is not None for setting in (self, *overridden)):
            raise ValueError("weights.sparse needs round_to_nearest: errors that move make weights of zeros")
        if self.zeros == "kept" and any(setting.weights.offset == "minimum" for setting in (self, *overridden)):
            raise ValueError("zeros: kept needs an offset other than minimum, under which nothing is zero")
        if self.zeros == "kept" and self.sweeps > 0:
            raise ValueError("zeros: kept needs sweeps: 0, as rounding again moves what is zero too")
        return self


@dataclass(frozen=True)
class Gptq:
    """See `compress.base.Pass`."""

    settings: GptqSettings
    needs: ClassVar[Needs] = Needs(frozenset({"gram"}), "blocks")
    factor: OfLastGram[Feedback] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        damping, by_activation = self.settings.damping, self.settings.order == "activation"
        make = partial(feedback, damping=damping, by_activation=by_activation)
        object.__setattr__(self, "factor", OfLastGram(make))

    def apply(self, state: ModelState, observed: Observed, *, threads: int) -> ModelState:
        """`threads` has no effect on what is found."""
        linears = find_linears(state.model)
        measured = {HEAD: linears.embedding.name} if linears.tied else {}
        own = {name for name in state.weights if measured.get(name, name) in observed.linears}
        chosen = choose_schemes(state.model, state.weights, self.settings, own)
        tables = SharedTables(state.model, state.weights, chosen.schemes)
        rounding = _Rounding(state.weights, chosen, tables, observed, measured, self.settings, self.factor, threads)
        return replace(
            state,
            weights=ChangedWeights(state.weights, rounding.weight, frozenset(chosen.schemes)),
            schemes={**state.schemes, **chosen.schemes},
            inputs=None,
            notes=(*state.notes, *chosen.notes),
        )


@dataclass(frozen=True)
class _Rounding:
    """What one block comes to, once it is asked for. measured: by which names weights go in what is observed, where by
    others than their own."""

    weights: Weights
    chosen: LayerSchemes
    tables: SharedTables
    observed: Observed
    measured: Mapping[str, str]
    settings: GptqSettings
    factor: OfLastGram[Feedback]
    threads: int

    def weight(self, name: str) -> Encoded:
        search = self.chosen.settings[name].weights.search

        def plainly(values: NDArray[np.float32], inputs: slice) -> Gridded:
            dense, counts = Dense(values, "float32"), squares[inputs]
            found = encode(dense, scheme, name=name, search=search, importance=counts, threads=self.threads)
            assert isinstance(found, Gridded)  # what `choose_schemes` gives
            return found

        gram = self.observed.inputs().gram[self.measured.get(name, name)]
        squares = gram.diagonal()
        scheme = self.tables.scheme(name, squares)
        values = self.weights[name].decode()
        refit = self.settings.groups == "moved"
        found = self.factor(gram)
        keep_zeros = self.settings.zeros == "kept"
        rounded = round_with_feedback(values, found, plainly, refit=refit, keep_zeros=keep_zeros)
        if self.settings.sweeps == 0:
            return rounded
        return round_again(values, rounded, gram, damping=self.settings.damping, sweeps=self.settings.sweeps)
