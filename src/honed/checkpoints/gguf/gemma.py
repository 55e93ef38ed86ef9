"""What GGUF files say of a Gemma 2 or 3 beyond what they say of every decoder, as fields of a Hugging Face config.

Files leave out what llama.cpp knows by itself: how often a layer sees all, and that the largest models scale their
scores by the width of a row and not of a head. Its source says both.
"""

from __future__ import annotations

from typing import Any

from honed.checkpoints.gguf.keys import Keys
from honed.errors import FormatError

_FULL_EVERY = {"gemma2": 2, "gemma3": 6}
_LARGEST = {"gemma2": 46, "gemma3": 62}
"""Layers of the 27B models."""
_CAPS: dict[str, dict[str, float | None]] = {
    "gemma2": {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
    "gemma3": {"final_logit_softcapping": None},
}
"""What may be stated, and what it is where it is not."""
GEMMAS = tuple(_FULL_EVERY)


def gemma_config(keys: Keys, hidden: int, heads: int, head_dim: int) -> dict[str, Any]:
    """`keys`: of an architecture in `GEMMAS`. Errors: FormatError."""
    layers = keys.required("block_count")
    window = keys.integer("attention.sliding_window")
    if window is None and keys.architecture == "gemma2":
        window = 4096
    config: dict[str, Any] = {
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": hidden // heads if layers == _LARGEST[keys.architecture] else head_dim,
        "sliding_window": window or None,
        "layer_types": _layer_types(keys, layers) if window else ["full_attention"] * layers,
    }
    for name, otherwise in _CAPS[keys.architecture].items():
        stated = keys.number(name)
        config[name] = (otherwise if stated is None else stated) or None
    if keys.architecture == "gemma3":
        base = keys.number("rope.freq_base_swa")
        config["rope_local_base_freq"] = 10000.0 if base is None else base
    return config


def _layer_types(keys: Keys, layers: int) -> list[str]:
    """An array says of each layer whether it slides; a number n leaves every n-th one without a window, 0 none."""
    name = keys.name("attention.sliding_window_pattern")
    if keys.metadata.is_array(name):
        flags = keys.metadata.flags(name)
        if flags is None or len(flags) != layers:
            raise FormatError(keys.metadata.path, name, f"must be one bool for each of {layers} layers")
        slides = flags.tolist()
    else:
        every = keys.metadata.integer(name)
        every = _FULL_EVERY[keys.architecture] if every is None else every
        slides = [every == 0 or (layer + 1) % every != 0 for layer in range(layers)]
    return ["sliding_attention" if slide else "full_attention" for slide in slides]
