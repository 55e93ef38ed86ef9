"""Every pass that a recipe may name: one line each, its settings and what makes it of them.

A recipe finds the settings here, and through them their fields, ranges and checks. Not here: the built-in recipes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

from honed.compress.base import Pass
from honed.compress.passes.distill import Distill, DistillSettings
from honed.compress.passes.gptq import Gptq, GptqSettings
from honed.compress.passes.prune_heads import PruneHeads, PruneHeadsSettings
from honed.compress.passes.prune_layers import PruneLayers, PruneLayersSettings
from honed.compress.passes.prune_neurons import PruneNeurons, PruneNeuronsSettings
from honed.compress.passes.round_to_nearest import RoundToNearest, RoundToNearestSettings
from honed.compress.passes.smooth import Smooth, SmoothSettings
from honed.compress.settings import PassSettings

PASSES: Mapping[type[PassSettings], Callable[[Any], Pass]] = {
    DistillSettings: Distill,
    GptqSettings: Gptq,
    PruneHeadsSettings: PruneHeads,
    PruneLayersSettings: PruneLayers,
    PruneNeuronsSettings: PruneNeurons,
    RoundToNearestSettings: RoundToNearest,
    SmoothSettings: Smooth,
}


def pass_name(settings: type[PassSettings]) -> str:
    """As it stands in a recipe."""
    (name,) = get_args(settings.model_fields["kind"].annotation)
    return str(name)


def make_pass(settings: PassSettings) -> Pass:
    return PASSES[type(settings)](settings)
