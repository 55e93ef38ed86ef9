"""What GGUF files say of mixtures of experts, as fields of a Hugging Face config.

How a family calls those fields it says itself (`models/family.py`). llama.cpp knows by itself, for every architecture
read here, that a softmax chooses and whether what the chosen count sums to one; files that say otherwise, or anything
else that no family here can do, are refused by name. Not here: the tensors (`names.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from honed.checkpoints.gguf.keys import Keys
from honed.errors import FormatError, UnsupportedError
from honed.models.config import MAX_LAYERS
from honed.models.experts import MAX_CHOSEN, MAX_EXPERTS
from honed.models.family import GgufExperts

COUNT, CHOSEN, INNER = "expert_count", "expert_used_count", "expert_feed_forward_length"
SHARED, SHARED_COUNT = "expert_shared_feed_forward_length", "expert_shared_count"
_NORMED, _GATING, _SCALE = "expert_weights_norm", "expert_gating_func", "expert_weights_scale"
EXPERT_KEYS = frozenset((COUNT, CHOSEN, INNER, _NORMED, _GATING, _SCALE))
"""Keys that are read or checked here for every family with experts."""
_SOFTMAX = (0, 1)
"""llama.cpp's numbers of what chooses: 0 is not said, 1 softmax."""
_ROUTER = "ffn_gate_inp"


def own_keys(experts: GgufExperts | None) -> frozenset[str]:
    """Those that a family reads, which has such experts."""
    if experts is None:
        return frozenset()
    return EXPERT_KEYS | {SHARED, SHARED_COUNT} if experts.shared is not None else EXPERT_KEYS


def expert_config(keys: Keys, experts: GgufExperts, tensors: Iterable[str]) -> dict[str, Any]:
    """Fields of the config beside those of every decoder. `tensors`: names in the file.

    Errors: FormatError for what is missing or out of bounds, UnsupportedError for what is not computed here.
    """
    count = _bounded(keys, COUNT, MAX_EXPERTS)
    _check_choice(keys)
    config: dict[str, Any] = {
        experts.count: count,
        "num_experts_per_tok": _bounded(keys, CHOSEN, min(count, MAX_CHOSEN)),
        experts.inner: _inner(keys, experts),
    }
    normed = keys.metadata.flag(keys.name(_NORMED))
    if experts.normed_field is not None:
        config[experts.normed_field] = experts.normed if normed is None else normed
    elif normed not in (None, experts.normed):
        raise _unsupported(keys, _NORMED, f"is {normed}, which this architecture never is")
    if experts.shared is not None:
        config[experts.shared] = _shared(keys)
    dense = _without_router(keys, tensors)
    return {**config, "mlp_only_layers": dense} if dense else config


def _check_choice(keys: Keys) -> None:
    gating = keys.integer(_GATING)
    if gating not in (None, *_SOFTMAX):
        raise _unsupported(keys, _GATING, f"is {gating}, and only 1, a softmax, is supported")
    scale = keys.number(_SCALE)
    if scale not in (None, 0.0, 1.0):
        raise _unsupported(keys, _SCALE, f"is {scale:g}, and weights of experts are not scaled here")


def _inner(keys: Keys, experts: GgufExperts) -> int:
    """llama.cpp has those architectures that share the field with dense layers read feed_forward_length only."""
    whole, own = keys.required("feed_forward_length"), keys.integer(INNER)
    if experts.inner != "intermediate_size":
        return own if own else whole // _bounded(keys, CHOSEN, MAX_CHOSEN)
    if own not in (None, 0, whole):
        raise _unsupported(keys, INNER, f"is {own}, and feed_forward_length {whole}: they must be the same")
    return whole


def _shared(keys: Keys) -> int:
    several = keys.integer(SHARED_COUNT)
    if several not in (None, 0, 1):
        raise _unsupported(keys, SHARED_COUNT, f"is {several}, and supported is 1")
    return keys.integer(SHARED) or keys.required("feed_forward_length")


def _without_router(keys: Keys, tensors: Iterable[str]) -> list[int]:
    """Layers whose MLP is a dense one."""
    routed = {name.split(".")[1] for name in tensors if name.startswith("blk.") and f".{_ROUTER}." in name}
    layers = min(keys.required("block_count"), MAX_LAYERS)  # how many there may be is checked with the config
    # With no router at all the first one that is missing is named: not every layer is taken for a dense one.
    return [layer for layer in range(layers) if str(layer) not in routed] if routed else []


def _bounded(keys: Keys, key: str, most: int) -> int:
    value = keys.required(key)
    if not 1 <= value <= most:
        raise FormatError(keys.metadata.path, keys.name(key), f"is {value}, must be an integer from 1 to {most}")
    return value


def _unsupported(keys: Keys, key: str, what: str) -> UnsupportedError:
    return UnsupportedError(f"{keys.metadata.path}: {keys.name(key)}: {what}")
