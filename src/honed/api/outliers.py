"""Layers that a recipe would store in int4 and that other tools could not read: they stay dense, and that is noted.

transformers and others decode int4 in the type of its scales, float16, which ends at 65504: a weight that reaches
beyond is finite here and infinite there. Only a fault of training makes such weights, so one layer in full size costs
nothing in practice. What smoothing adds is caught where the weight is written (`compressed_tensors/format.py`).
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.encodings.grouping import CHUNK_VALUES

if TYPE_CHECKING:
    from honed.compress.recipe import Recipe

LARGEST = 56_000.0
"""Of a value that is stored in int4: its code and scale, which are fitted, may multiply to a little more."""


def without_outliers(
    recipe: Recipe, names: Iterable[str], weights: Mapping[str, Encoded]
) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe with such layers left dense, and a note on each. `names`: those of the weights of linear layers."""
    from honed.compress.layer_settings import Override

    last = recipe.encoding
    if last is None:
        return recipe, ()
    overrides, notes = [], []
    for name in names:
        module = name.removesuffix(".weight")
        setting = last.for_module(module)
        if setting is None or setting.weights.bits != 4 or setting.weights.codebook is not None:
            continue
        largest = _largest(weights[name])
        if largest > LARGEST:
            overrides.append(Override(modules=glob.escape(module), setting="dense"))
            notes.append(
                f"{name}: reaches {largest:.0f}, so it stays dense: others decode int4 in float16, which ends at 65504"
            )
    if not overrides:
        return recipe, ()
    changed = last.model_copy(update={"overrides": (*overrides, *last.overrides)})
    return recipe.model_copy(update={"passes": (*recipe.passes[:-1], changed)}), tuple(notes)


def _largest(weight: Encoded) -> float:
    """The largest magnitude; not finite, or anything at all, where a value is not finite (which is refused later)."""
    if isinstance(weight, Dense) and weight.dtype == "float16":
        return 0.0  # cannot be beyond what it is decoded in
    if len(weight.shape) != 2 or 0 in weight.shape:
        return 0.0
    step = max(1, CHUNK_VALUES // weight.shape[1])
    found = 0.0
    for first in range(0, weight.shape[0], step):
        part = weight.decode(slice(first, min(first + step, weight.shape[0])))
        found = max(found, float(np.max(part)), -float(np.min(part)))
    return found
