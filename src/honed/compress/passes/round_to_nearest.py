"""Round to nearest: every linear layer to int8, int4 or a codebook, each weight by itself, no calibration.

The rounding is in `encodings/`, and what each weight becomes in `layer_schemes.py`. Embeddings, norms and biases stay
dense.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from honed.compress.base import ModelState, Weights
from honed.compress.layer_schemes import LayerSchemes, choose_schemes
from honed.compress.layer_settings import EncodingSettings
from honed.compress.needs import Needs, Observed
from honed.compress.shared_tables import SharedTables
from honed.compress.weights import ChangedWeights
from honed.encodings.base import Encoded
from honed.encodings.encode import encode


class RoundToNearestSettings(EncodingSettings):
    """Settings of the pass `round_to_nearest`."""

    kind: Annotated[Literal["round_to_nearest"], Field(alias="pass")]


@dataclass(frozen=True)
class RoundToNearest:
    """See `compress.base.Pass`."""

    settings: RoundToNearestSettings
    needs: ClassVar[Needs] = Needs()

    def apply(self, state: ModelState, observed: Observed, *, threads: int) -> ModelState:
        chosen = choose_schemes(state.model, state.weights, self.settings)
        tables = SharedTables(state.model, state.weights, chosen.schemes)
        return replace(
            state,
            weights=ChangedWeights(
                state.weights, partial(_rounded, state.weights, chosen, tables, threads), frozenset(chosen.schemes)
            ),
            schemes={**state.schemes, **chosen.schemes},
            inputs=None,
            notes=(*state.notes, *chosen.notes),
        )


def _rounded(weights: Weights, chosen: LayerSchemes, tables: SharedTables, threads: int, name: str) -> Encoded:
    weight, scheme, search = weights[name], tables.scheme(name, None), chosen.settings[name].weights.search
    return encode(weight, scheme, name=name, search=search, threads=threads)
