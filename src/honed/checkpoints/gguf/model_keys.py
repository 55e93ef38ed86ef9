"""A model as the keys of a GGUF file, and the tensors that divide its rotary frequencies: what `config.py` reads back.

Windows, rotations and sizes are those of the model's graph. What only its family has keys for, it says itself
(`GgufNames.own_values`). Whether a reader takes the keys for the same model is checked by who writes
(`said_back.py`). Not here: the tokenizer (`tokenizer_keys.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from honed.checkpoints.gguf.names import LONG_FACTORS, ROPE_FACTORS, SHORT_FACTORS
from honed.errors import UnsupportedError, quoted
from honed.lazy_imports import numpy as np
from honed.models.base import Model
from honed.models.config import Fields, rope_kind
from honed.models.family import Family, GgufNames
from honed.models.recorded import main_graph
from honed.ops.table import Attention, Rope
from honed.ops.values import Rotary

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FIELDS: dict[str, tuple[str, ...]] = {
    "context_length": ("max_position_embeddings", "n_positions"),
    "embedding_length": ("hidden_size", "n_embd"),
    "feed_forward_length": ("intermediate_size", "n_inner"),
    "expert_count": ("num_experts", "num_local_experts"),
    "expert_used_count": ("num_experts_per_tok",),
    "expert_feed_forward_length": ("moe_intermediate_size",),
    "expert_shared_feed_forward_length": ("shared_expert_intermediate_size",),
}
"""Keys of an architecture, and the fields that say the same in a config."""
_WRITTEN = ("default", "linear", "llama3", "yarn", "longrope")


def model_keys(family: Family, config: Mapping[str, Any], model: Model) -> dict[str, Any]:
    """Of a family with names in GGUF files. UnsupportedError, naming the field, for what has no key."""
    names = family.gguf
    assert names is not None
    own: dict[str, Any] = {}
    for key, fields in _FIELDS.items():
        found = [config[field] for field in fields if config.get(field) is not None]
        if found:
            own[key] = found[0]
    own.setdefault("feed_forward_length", 4 * own["embedding_length"])  # what a GPT-2 has that does not say it
    own |= _sizes(model, names)
    window = _window(model, names)
    if window is not None:
        own["attention.sliding_window"] = window
    own |= _rotation(config, model, names)
    if names.own_values is not None:
        own |= names.own_values(model)
    prefixed = {f"{names.architecture}.{key}": value for key, value in own.items()}
    return {"general.architecture": names.architecture, **prefixed}


def rotary_factors(config: Mapping[str, Any], model: Model) -> dict[str, NDArray[np.float32]]:
    """Tensors that are part of the config, by their names in the file."""
    rotary = _rotary(model)
    if rotary is None:
        return {}
    scaling = _scaling(config)
    kind = rope_kind(scaling)
    if kind == "longrope":
        named = {SHORT_FACTORS: "short_factor", LONG_FACTORS: "long_factor"}
        return {name: np.array(scaling.values[field], np.float32) for name, field in named.items()}
    if kind == "llama3" or config.get("rope_frequency_factors") is not None:
        base = _base(config, scaling, rotary, kind)
        width = 2 * len(rotary.inverse_frequencies)
        plain = base ** (-np.arange(0, width, 2, dtype=np.float64) / width)
        return {ROPE_FACTORS: (plain / np.array(rotary.inverse_frequencies, np.float64)).astype(np.float32)}
    return {}


def _sizes(model: Model, names: GgufNames) -> dict[str, Any]:
    sizes = model.dimensions
    kind = "layer_norm_epsilon" if names.layer_norms else "layer_norm_rms_epsilon"
    settings: Any = model
    return {
        "block_count": sizes.layers,
        "vocab_size": sizes.vocabulary,
        "attention.head_count": sizes.heads,
        "attention.head_count_kv": sizes.kv_heads,
        "attention.key_length": sizes.head_dim,
        "attention.value_length": sizes.head_dim,
        f"attention.{kind}": float(settings.config.eps),
    }


def _window(model: Model, names: GgufNames) -> int | None:
    """The one of those layers that have one."""
    found = {one.spec.before + 1 for one in main_graph(model).operations(Attention) if one.spec.before is not None}
    if len(found) > 1:
        raise UnsupportedError(
            f"sliding_window: layers have windows of {', '.join(map(str, sorted(found)))}, and a GGUF file of "
            f"{names.architecture} holds one"
        )
    return next(iter(found), None)


def _rotary(model: Model) -> Rotary | None:
    """Of the layers that see everything, if there are some, else of all."""
    settings: Any = model
    stated = getattr(settings, "rotary", None)
    if isinstance(stated, Rotary):
        return stated
    return next((one.rotary for one in main_graph(model).operations(Rope)), None)


def _rotation(config: Mapping[str, Any], model: Model, names: GgufNames) -> dict[str, Any]:
    rotary = _rotary(model)
    if rotary is None:
        return {}
    scaling = _scaling(config)
    kind = rope_kind(scaling)
    if kind not in _WRITTEN:
        raise UnsupportedError(
            f"{scaling.prefix}rope_type {quoted(kind)}: a GGUF file cannot say it; it can say {', '.join(_WRITTEN)}"
        )
    own: dict[str, Any] = {
        "rope.dimension_count": 2 * len(rotary.inverse_frequencies),
        "rope.freq_base": _base(config, scaling, rotary, kind),
    }
    settings: Any = model
    sliding = getattr(settings, "sliding_rotary", None)
    if isinstance(sliding, Rotary):
        own["rope.freq_base_swa"] = _plain_base(sliding)
    return own | _stretched(config, scaling, kind, rotary)


def _scaling(config: Mapping[str, Any]) -> Fields:
    """What a config says of the rotation, of the layers that see everything where it tells them apart."""
    older, newer = config.get("rope_scaling"), config.get("rope_parameters")
    name, values = ("rope_scaling", older) if older else ("rope_parameters", newer or {})
    full = values.get("full_attention") if isinstance(values, Mapping) else None
    if isinstance(full, Mapping):
        return Fields(full, "config.json", f"{name}.full_attention.")
    return Fields(values, "config.json", f"{name}.")


def _base(config: Mapping[str, Any], scaling: Fields, rotary: Rotary, kind: str) -> float:
    """As it is stated, or what a family means by nothing, which the frequencies tell where they are not stretched."""
    newer = config.get("rope_parameters")
    values = (scaling.values, newer if isinstance(newer, Mapping) else {}, config)
    stated = [one["rope_theta"] for one in values if isinstance(one.get("rope_theta"), int | float)]
    if not stated and isinstance(config.get("rotary_emb_base"), int | float):
        stated = [config["rotary_emb_base"]]
    if stated:
        return float(stated[0])
    factor = scaling.values.get("factor") if kind == "linear" else None
    return _plain_base(rotary, float(factor or 1.0)) if kind in ("default", "linear") else 10000.0


def _plain_base(rotary: Rotary, factor: float = 1.0) -> float:
    """theta, of frequencies theta ** (-2 i / width) / factor; to seven digits, as float32 frequencies have it."""
    pairs = len(rotary.inverse_frequencies)
    if pairs < 2:
        return 10000.0
    last = rotary.inverse_frequencies[-1] * factor
    return float(f"{last ** (-pairs / (pairs - 1)):.6g}")


def _stretched(config: Mapping[str, Any], scaling: Fields, kind: str, rotary: Rotary) -> dict[str, Any]:
    original = config.get("original_max_position_embeddings") or scaling.values.get("original_max_position_embeddings")
    own: dict[str, Any] = {} if original is None else {"rope.scaling.original_context_length": original}
    if kind == "linear":
        return {"rope.scaling.type": "linear", "rope.scaling.factor": float(scaling.values["factor"])}
    if kind == "longrope":
        return {**own, "rope.scaling.type": "longrope", "rope.scaling.attn_factor": float(rotary.attention_factor)}
    if kind != "yarn":
        return own if kind == "default" else {}
    context = config.get("max_position_embeddings", 0)
    own.setdefault("rope.scaling.original_context_length", context)
    factor = float(scaling.values.get("factor") or context / own["rope.scaling.original_context_length"])
    own |= {"rope.scaling.type": "yarn", "rope.scaling.factor": factor}
    for field in ("beta_fast", "beta_slow"):
        if scaling.values.get(field):
            own[f"rope.scaling.yarn_{field}"] = float(scaling.values[field])
    usual = 0.1 * math.log(factor) + 1.0 if factor > 1 else 1.0
    if not math.isclose(rotary.attention_factor, usual, rel_tol=1e-6):
        own["rope.scaling.attn_factor"] = rotary.attention_factor / usual
    return own
