"""The built-in recipes, as data. Chosen by measurement; docs/measurements/ has the numbers.

Activations in groups of 32 everywhere: with one scale a token, the outliers in the inputs of q, k and v alone cost
more than all the weights; smoothing takes what is left of them. The head stays at 8 bits: its errors go into the
logits undamped. int4 keeps the grid of a source that is 4-bit itself: a file with minimums gets minimums and comes back
exactly. Smoothing would move its layers off that grid, so there it acts on the input of the head only.
nf4 rounds to the quantiles of a normal distribution instead of a grid, for sources that are not 4-bit themselves.
int4-gptq makes up for each error of rounding with the inputs that are left, on text that the model writes itself.
prune-25-heal and layers-20-heal make a model smaller and train what is left on what the source makes of text that it
writes itself, half an hour of it; learning rates are guesses until they are measured.
int4-zero-point has integer zero points whatever the source, for engines that read nothing else and have a dense head.
"""

from __future__ import annotations

from typing import Any

_GROUPED_INT8: dict[str, Any] = {"weights": {"bits": 8, "group": 32}, "activations": {"group": 32}}
_SMOOTH_HEAD: dict[str, Any] = {"pass": "smooth", "strength": 0.4, "junctions": "head"}
_SMOOTH_LAYERS: dict[str, Any] = {"pass": "smooth", "strength": 0.5, "junctions": "layers"}


def _four_bits(**kind: str) -> dict[str, Any]:
    return {
        "pass": "round_to_nearest",
        "weights": {"bits": 4, "group": 32, **kind, "search": True},
        "activations": {"group": 32},
        "overrides": [{"modules": "lm_head", "setting": _GROUPED_INT8}],
    }


def _made_up_for(**kind: str) -> dict[str, Any]:
    return {**_four_bits(**kind), "pass": "gptq"}


def _healed(*pruning: dict[str, Any]) -> dict[str, Any]:
    text = {"text": "sampled", "tokens": 262144, "window": 256}
    healing = {"pass": "distill", "minutes": 30.0, "batch": 16, "together": 8, "optimizer": {"rate": 3e-4}}
    return {"passes": [*pruning, healing, *RECIPES["int8"]["passes"]], "calibration": text}


RECIPES: dict[str, dict[str, Any]] = {
    "int8": {"passes": [_SMOOTH_LAYERS, _SMOOTH_HEAD, {"pass": "round_to_nearest", **_GROUPED_INT8}]},
    "int4": {"passes": [_SMOOTH_HEAD, _four_bits(offset="source")]},
    "int4-gptq": {"passes": [_SMOOTH_HEAD, _made_up_for(offset="zero_point")]},
    "int4-zero-point": {"passes": [_four_bits(offset="zero_point")]},
    "nf4": {"passes": [_SMOOTH_HEAD, _four_bits(codebook="normal_float")]},
}
RECIPES |= {
    "layers-20-heal": _healed({"pass": "prune_layers", "share": 0.2}),
    "prune-25-heal": _healed({"pass": "prune_neurons", "share": 0.25}, {"pass": "prune_heads", "share": 0.33}),
}
