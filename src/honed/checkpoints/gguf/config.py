"""A GGUF file's metadata as a Hugging Face config.

Here: what decoders have in common. How files of a family spell it is said in its model file, which also checks the
bounds of the fields, as for any config. Not here: keys that are refused (`variants.py`), how rotations are stretched
(`rotary.py`), the tokenizer's metadata (`tokenizer.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from honed.checkpoints.gguf.experts import COUNT, expert_config, own_keys
from honed.checkpoints.gguf.gemma import GEMMAS, gemma_config
from honed.checkpoints.gguf.header import TensorEntry
from honed.checkpoints.gguf.keys import Keys
from honed.checkpoints.gguf.metadata import Metadata
from honed.checkpoints.gguf.rotary import rope_scaling
from honed.checkpoints.gguf.variants import refuse_variants
from honed.errors import FormatError, UnsupportedError, quoted
from honed.models.family import Family, GgufNames
from honed.models.registry import FAMILIES

Number = TypeVar("Number", int, float)
_FAMILIES = [(family, family.gguf) for family in FAMILIES.values() if family.gguf is not None]
_PATTERN = "attention.sliding_window_pattern"
ARCHITECTURES = tuple(dict.fromkeys(names.architecture for _, names in _FAMILIES))


def architecture_of(metadata: Metadata) -> str:
    """general.architecture, if it is one that is read here."""
    name = metadata.text("general.architecture")
    if name is None:
        raise FormatError(metadata.path, "general.architecture", "is missing")
    if name not in ARCHITECTURES:
        raise UnsupportedError(
            f"{metadata.path}: general.architecture {quoted(name)} is not supported; "
            f"supported are {', '.join(ARCHITECTURES)}"
        )
    return name


def read_config(
    metadata: Metadata, tensors: Mapping[str, TensorEntry], factors: Mapping[str, NDArray[np.float32]]
) -> dict[str, Any]:
    """The config in Hugging Face form. `factors` are the values of the tensors that divide rotary frequencies."""
    keys = Keys(metadata, architecture_of(metadata))
    window = _window(keys)
    family, names = _family(keys, window)
    refuse_variants(metadata, keys.architecture, tensors, names.own_keys | own_keys(names.experts))
    heads = keys.required("attention.head_count")
    hidden = keys.required("embedding_length")
    if _default(keys.integer("embedding_length_out"), hidden) != hidden:
        raise UnsupportedError(
            f"{metadata.path}: {keys.name('embedding_length_out')}: differs from embedding_length {hidden}, "
            "which is not supported"
        )
    embedding = tensors.get("token_embd.weight")
    if embedding is None:
        raise FormatError(metadata.path, "token_embd.weight", "the tensor is missing")
    eps_key = "attention.layer_norm_epsilon" if names.layer_norms else "attention.layer_norm_rms_epsilon"
    eps = keys.number(eps_key)
    if eps is None:
        raise FormatError(metadata.path, keys.name(eps_key), "is missing")
    head_dim = _head_dim(keys, hidden, heads, names)
    rotated = _rotated(keys, head_dim, names)
    config: dict[str, Any] = {
        "architectures": [family.class_name],
        "model_type": family.model_type,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": keys.required("feed_forward_length"),
        "num_hidden_layers": keys.required("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": _default(keys.integer("attention.head_count_kv"), heads),
        "head_dim": head_dim,
        "vocab_size": _default(keys.integer("vocab_size"), embedding.shape[0]),
        "max_position_embeddings": keys.required("context_length"),
        "rms_norm_eps": eps,
        "rope_theta": _default(keys.number("rope.freq_base"), 10000.0),
        "tie_word_embeddings": "output.weight" not in tensors,
        "attention_bias": any(name.endswith((".attn_q.bias", ".attn_qkv.bias")) for name in tensors),
        "mlp_bias": any(name.endswith(".ffn_up.bias") for name in tensors),
    }
    if window is not None:
        config["sliding_window"] = window
    for field in ("bos_token_id", "eos_token_id"):
        token = metadata.integer(f"tokenizer.ggml.{field}")
        if token is not None and 0 <= token < config["vocab_size"]:
            config[field] = token
    if names.partial:
        config["partial_rotary_factor"] = rotated / head_dim
    if keys.architecture in GEMMAS:
        config |= gemma_config(keys, hidden, heads, head_dim)
    if names.experts is not None:
        config |= expert_config(keys, names.experts, tensors)
    config |= rope_scaling(keys, rotated, config["rope_theta"], factors)
    return config if names.own_config is None else {**config, **names.own_config(config, _own(keys))}


def _own(keys: Keys) -> dict[str, Any]:
    """The values of the keys of the architecture, by what stands behind its name."""
    prefix = keys.name("")
    return {key.removeprefix(prefix): value for key, value in keys.metadata.values.items() if key.startswith(prefix)}


def _default(value: Number | None, otherwise: Number) -> Number:
    return otherwise if value is None else value


def _window(keys: Keys) -> int | None:
    """The sliding window of all layers; None for a Gemma, which is read apart. UnsupportedError where only some of the
    layers have one."""
    window = keys.integer("attention.sliding_window") or None
    if window is None or keys.architecture in GEMMAS:
        return None
    path, name = keys.metadata.path, keys.name(_PATTERN)
    windowed = [
        names for _, names in _FAMILIES if names.windowed is not False and names.architecture == keys.architecture
    ]
    if not windowed:
        raise UnsupportedError(
            f"{path}: {keys.name('attention.sliding_window')} is not supported for this architecture"
        )
    own = any(_PATTERN in names.own_keys for names in windowed)
    if name in keys.metadata.values and not own and not _all_slide(keys.metadata, name):
        raise UnsupportedError(
            f"{path}: {name}: a window in some of the layers only is not supported for {keys.architecture}"
        )
    return window


def _family(keys: Keys, window: int | None) -> tuple[Family, GgufNames]:
    """Of those that share the architecture, the one whose files have experts or none, and a window or none."""
    found = [(family, names) for family, names in _FAMILIES if names.architecture == keys.architecture]
    sparse = bool(keys.integer(COUNT))
    if len({names.experts is None for _, names in found}) > 1:
        found = [pair for pair in found if (pair[1].experts is not None) is sparse]
    return next(pair for pair in found if pair[1].windowed in (None, window is not None))


def _all_slide(metadata: Metadata, name: str) -> bool:
    """An array says it of each layer; a number n would leave every n-th one without a window."""
    flags = metadata.flags(name) if metadata.is_array(name) else None
    return flags is not None and bool(flags.all())


def _rotated(keys: Keys, head_dim: int, names: GgufNames) -> int:
    """Features of a head that are rotated."""
    found = _default(keys.integer("rope.dimension_count"), head_dim)
    if found != head_dim and not (names.partial and 0 < found < head_dim):
        raise UnsupportedError(
            f"{keys.metadata.path}: {keys.name('rope.dimension_count')} {found} differs from the head width {head_dim}"
        )
    return found


def _head_dim(keys: Keys, hidden: int, heads: int, names: GgufNames) -> int:
    path = keys.metadata.path
    key_length = keys.integer("attention.key_length")
    if key_length is None:
        if heads == 0 or hidden % heads:
            raise FormatError(
                path, keys.name("attention.head_count"), f"{heads} does not divide embedding_length {hidden}"
            )
        key_length = hidden // heads
    same = ("attention.value_length", "attention.key_length_swa", "attention.value_length_swa")
    for key in (*same, "rope.dimension_count_swa"):
        value = keys.integer(key)
        if value is not None and value != key_length:
            raise UnsupportedError(f"{path}: {keys.name(key)} {value} differs from the head width {key_length}")
    scale = None if "attention.scale" in names.own_keys else keys.number("attention.scale")
    if scale and not (key_length > 0 and abs(scale * key_length**0.5 - 1) < 1e-5):
        raise UnsupportedError(
            f"{path}: {keys.name('attention.scale')}: is {scale:g}, and supported is "
            f"one over the root of the head width {key_length}"
        )
    return key_length
