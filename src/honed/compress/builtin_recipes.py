"""The built-in recipes, as data. Chosen by measurement; docs/measurements/ has the numbers.

Activations in groups of 32 everywhere: with one scale a token, the outliers in the inputs of q, k and v alone cost
more than all the weights; smoothing takes what is left of them. The head stays at 8 bits: its errors go into the
logits undamped. int4 keeps the grid of a source that is 4-bit itself: a file with minimums gets minimums and comes back
exactly. Smoothing would move its layers off that grid, so there it acts on the input of the head only.
nf4 rounds to the quantiles of a normal distribution instead of a grid, for sources that are not 4-bit themselves.
int8-fast has the largest groups that divide a layer's inputs, up to 128, which tiles of AMX multiply at up to three
times the speed of groups of 32, and other sets a little faster; its divergence is about half as much again as int8's.
int4-autoround learns whether weights are rounded up or down from what their block gives (torch, honed[torch]).
int4-gptq makes up for each error of rounding with the inputs that are left, on text that the model writes itself.
int4-awq divides inputs by factors before it rounds, so that those that weigh much are rounded finely; without clipping,
which leaves less to the search of the scales than it gains. Rotation is in no recipe: a 4-bit source leaves its grid by
it, and its head comes apart from the table.
learned4 has sixteen values that fit the weights, a table for all layers with one input; log4 has powers of two. Both
make up for errors as int4-gptq does, and count them by what enters, at the bytes of symmetric int4.
mixed-4.5bit has 4.5 bits a weight on average, the head among them: layers that bear it get larger groups for it.
prune-25 and layers-20 give dense models that are smaller, for fine-tuning or for a pass that encodes behind them.
sparse-2-4 leaves two of four weights of each layer, made up for on text that the model writes itself, rounded to int8
and stored without their zeros: 5.5 bits a weight; after Wanda worse than int4 (docs/measurements/sparsity.md).
prune-25-heal and layers-20-heal make a model smaller and train what is left on what the source makes of text that it
writes itself, half an hour of it; learning rates are guesses until they are measured.
int4-zero-point has integer zero points whatever the source, for engines that read nothing else and have a dense head.
svd-20 is int8 of layers a fifth of whose parameters went away by factorization; it is to be healed, and no default.
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


def _grouped(group: int, **weights: Any) -> dict[str, Any]:
    """Weights and activations in groups of one size."""
    return {"weights": {"group": group, **weights}, "activations": {"group": group}}


_CODES: dict[str, Any] = {"bits": 4, "codebook": "normal_float", "search": True}
_MIXED: dict[str, Any] = {
    "pass": "mixed",
    "candidates": [
        _GROUPED_INT8,
        _grouped(32, bits=4, offset="zero_point", search=True),
        *(_grouped(group, **_CODES) for group in (32, 64, 128)),
    ],
    "budget": {"bits": 4.5},
}


def _learned(iterations: int, **kind: str) -> dict[str, Any]:
    return {**_four_bits(**kind), "pass": "auto_round", "iterations": iterations, "batch": 1}


def _healed(*pruning: dict[str, Any]) -> dict[str, Any]:
    text = {"text": "sampled", "tokens": 262144, "window": 256}
    healing = {"pass": "distill", "minutes": 30.0, "batch": 16, "together": 8, "optimizer": {"rate": 3e-4}}
    return {"passes": [*pruning, healing, *RECIPES["int8"]["passes"]], "calibration": text}


RECIPES: dict[str, dict[str, Any]] = {
    "int8": {"passes": [_SMOOTH_LAYERS, _SMOOTH_HEAD, {"pass": "round_to_nearest", **_GROUPED_INT8}]},
    "int8-fast": {
        "passes": [
            _SMOOTH_LAYERS,
            _SMOOTH_HEAD,
            {
                "pass": "round_to_nearest",
                **_grouped(128, bits=8),
                "overrides": [{"modules": "lm_head", "setting": _GROUPED_INT8}],
            },
        ]
    },
    "int4": {"passes": [_SMOOTH_HEAD, _four_bits(offset="source")]},
    "int4-autoround": {
        "passes": [_SMOOTH_HEAD, _learned(200, offset="zero_point")],
        "calibration": {"tokens": 16384},
    },
    "int4-awq": {"passes": [_SMOOTH_HEAD, _moved_for(offset="zero_point"), _four_bits(offset="zero_point")]},
    "int4-gptq": {"passes": [_SMOOTH_HEAD, _made_up_for(offset="zero_point")]},
    "int4-zero-point": {"passes": [_four_bits(offset="zero_point")]},
    "layers-20": {"passes": [{"pass": "prune_layers", "share": 0.2}]},
    "learned4": {"passes": [_SMOOTH_HEAD, _made_up_for(codebook="learned")]},
    "log4": {"passes": [_SMOOTH_HEAD, _made_up_for(codebook="power_of_two")]},
    "mixed-4.5bit": {"passes": [_SMOOTH_HEAD, _MIXED, {"pass": "gptq", **_grouped(32, **_CODES)}]},
    "nf4": {"passes": [_SMOOTH_HEAD, _four_bits(codebook="normal_float")]},
    "prune-25": {"passes": [{"pass": "prune_neurons", "share": 0.25}]},
    "sparse-2-4": {
        "passes": [
            {"pass": "sparse_gpt", "pattern": "2:4"},
            _SMOOTH_LAYERS,
            _SMOOTH_HEAD,
            {
                "pass": "round_to_nearest",
                "weights": {"bits": 8, "group": 32, "sparse": 0.5},
                "activations": {"group": 32},
                "overrides": [{"modules": "lm_head", "setting": _GROUPED_INT8}],
            },
        ]
    },
    "svd-20": {
        "passes": [
            {"pass": "svd", "share": 0.2, "timed": _GROUPED_INT8},
            _SMOOTH_LAYERS,
            _SMOOTH_HEAD,
            {"pass": "round_to_nearest", **_GROUPED_INT8},
        ]
    },
}
RECIPES |= {
    "layers-20-heal": _healed({"pass": "prune_layers", "share": 0.2}),
    "prune-25-heal": _healed({"pass": "prune_neurons", "share": 0.25}, {"pass": "prune_heads", "share": 0.33}),
}

DESCRIPTIONS: dict[str, str] = {
    "int8": "8-bit weights and activations in groups of 32, outliers smoothed into the weights",
    "int8-fast": "8-bit weights and activations in groups of up to 128, for processors with tiles (AMX)",
    "int4": "4-bit weights on the source's own grid, rounded to nearest; the head at 8 bits",
    "int4-autoround": "4-bit weights with zero points, rounded up or down as their block's outputs ask (torch)",
    "int4-awq": "4-bit weights with zero points, inputs that weigh much rounded more finely (AWQ)",
    "int4-gptq": "4-bit weights with zero points, each error made up for on text that the model writes (GPTQ)",
    "int4-zero-point": "4-bit weights with integer zero points, which vLLM and transformers read too",
    "layers-20": "the fifth of the layers that changes least taken out, dense; to be healed",
    "layers-20-heal": "a fifth of the layers out, the others trained by the source for half an hour (torch), 8 bits",
    "learned4": "4-bit weights that point to sixteen values learned for each layer, errors made up for",
    "log4": "4-bit weights that are powers of two, errors made up for",
    "mixed-4.5bit": "8, 4 and coarser 4 bits by layer, 4.5 on average, each chosen by what it costs the model",
    "nf4": "4-bit weights that point to the quantiles of a normal distribution",
    "prune-25": "a quarter of the MLP's neurons taken out, dense; the others make up for them",
    "prune-25-heal": "a quarter of the neurons and a third of the heads out, trained by the source (torch), 8 bits",
    "sparse-2-4": "two of four weights of each layer left out, the others at 8 bits; saves memory, not time",
    "svd-20": "layers as products of two factors where this machine is faster for it, at 8 bits; to be healed",
}
"""What each recipe does, in one line."""
