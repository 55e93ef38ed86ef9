"""The built-in recipes, as data. Chosen by measurement; docs/measurements/ has the numbers.

Activations in groups of 32 everywhere: with one scale a token, the outliers in the inputs of q, k and v alone cost
more than all the weights; smoothing takes what is left of them. The head stays at 8 bits: its errors go into the
logits undamped. int4 keeps the grid of a source that is 4-bit itself: a file with minimums gets minimums and comes back
exactly. Smoothing would move its layers off that grid, so there it acts on the input of the head only.
nf4 rounds to the quantiles of a normal distribution instead of a grid, for sources that are not 4-bit themselves.
int4-gptq makes up for each error of rounding with the inputs that are left, on text that the model writes itself.
int4-awq divides inputs by factors before it rounds, so that those that weigh much are rounded finely; without clipping,
which leaves less to the search of the scales than it gains. Rotation is in no recipe: a 4-bit source leaves its grid by
it, and its head comes apart from the table.
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


def _moved_for(**kind: str) -> dict[str, Any]:
    rounding = _four_bits(**kind)
    return {**rounding, "pass": "awq", "weights": {**rounding["weights"], "search": False}}


def _made_up_for(**kind: str) -> dict[str, Any]:
    return {**_four_bits(**kind), "pass": "gptq"}


RECIPES: dict[str, dict[str, Any]] = {
    "int8": {"passes": [_SMOOTH_LAYERS, _SMOOTH_HEAD, {"pass": "round_to_nearest", **_GROUPED_INT8}]},
    "int4": {"passes": [_SMOOTH_HEAD, _four_bits(offset="source")]},
    "int4-awq": {"passes": [_SMOOTH_HEAD, _moved_for(offset="zero_point"), _four_bits(offset="zero_point")]},
    "int4-gptq": {"passes": [_SMOOTH_HEAD, _made_up_for(offset="zero_point")]},
    "int4-zero-point": {"passes": [_four_bits(offset="zero_point")]},
    "nf4": {"passes": [_SMOOTH_HEAD, _four_bits(codebook="normal_float")]},
}
