"""A GGUF file's metadata as a Hugging Face config.

Here: the architectures llama (with Mistral, which it includes), qwen2 and qwen3. Bounds of the fields are checked by
the model files, as for any config. Not here: the tokenizer's metadata (`tokenizer.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from honed.checkpoints.gguf.header import TensorEntry
from honed.checkpoints.gguf.metadata import Metadata
from honed.errors import FormatError, UnsupportedError

Number = TypeVar("Number", int, float)
_CLASSES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
ARCHITECTURES = ("llama", "qwen2", "qwen3")
_LLAMA3_SCALING = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
"""Of every Llama 3.1, 3.2 and 3.3 release; only the factor differs."""


def architecture_of(metadata: Metadata) -> str:
    """general.architecture, if it is one that is read here."""
    name = metadata.text("general.architecture")
    if name is None:
        raise FormatError(metadata.path, "general.architecture", "is missing")
    if name not in ARCHITECTURES:
        raise UnsupportedError(
            f"{metadata.path}: general.architecture {name!r:.60} is not supported; "
            f"supported are {', '.join(ARCHITECTURES)}"
        )
    return name


def read_config(
    metadata: Metadata, tensors: Mapping[str, TensorEntry], factors: NDArray[np.float32] | None
) -> dict[str, Any]:
    """The config in Hugging Face form. `factors` are the values of rope_freqs.weight, which divide the frequencies."""
    keys = _Keys(metadata, architecture_of(metadata))
    window = keys.integer("attention.sliding_window") or None
    kind = "mistral" if keys.architecture == "llama" and window is not None else keys.architecture
    _refuse_variants(keys, window)
    heads = keys.required("attention.head_count")
    hidden = keys.required("embedding_length")
    embedding = tensors.get("token_embd.weight")
    if embedding is None:
        raise FormatError(metadata.path, "token_embd.weight", "the tensor is missing")
    eps = metadata.number(keys.name("attention.layer_norm_rms_epsilon"))
    if eps is None:
        raise FormatError(metadata.path, keys.name("attention.layer_norm_rms_epsilon"), "is missing")
    config: dict[str, Any] = {
        "architectures": [_CLASSES[kind]],
        "model_type": kind,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": keys.required("feed_forward_length"),
        "num_hidden_layers": keys.required("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": _default(keys.integer("attention.head_count_kv"), heads),
        "head_dim": _head_dim(keys, hidden, heads),
        "vocab_size": _default(keys.integer("vocab_size"), embedding.shape[0]),
        "max_position_embeddings": keys.required("context_length"),
        "rms_norm_eps": eps,
        "rope_theta": _default(metadata.number(keys.name("rope.freq_base")), 10000.0),
        "tie_word_embeddings": "output.weight" not in tensors,
        "attention_bias": any(name.endswith(".attn_q.bias") for name in tensors),
        "mlp_bias": any(name.endswith(".ffn_up.bias") for name in tensors),
    }
    if window is not None:
        config["sliding_window"] = window
    for field in ("bos_token_id", "eos_token_id"):
        token = metadata.integer(f"tokenizer.ggml.{field}")
        if token is not None and 0 <= token < config["vocab_size"]:
            config[field] = token
    return config | _rope_scaling(keys, config["head_dim"], config["rope_theta"], factors)


class _Keys:
    """Metadata keys that begin with the name of the architecture."""

    def __init__(self, metadata: Metadata, architecture: str) -> None:
        self.metadata = metadata
        self.architecture = architecture

    def name(self, key: str) -> str:
        return f"{self.architecture}.{key}"

    def integer(self, key: str) -> int | None:
        return self.metadata.integer(self.name(key))

    def required(self, key: str) -> int:
        value = self.integer(key)
        if value is None:
            raise FormatError(self.metadata.path, self.name(key), "is missing")
        return value


def _default(value: Number | None, otherwise: Number) -> Number:
    return otherwise if value is None else value


def _refuse_variants(keys: _Keys, window: int | None) -> None:
    """Variants of an architecture that its metadata announces and that would run wrongly if ignored."""
    path = keys.metadata.path
    if keys.integer("expert_count"):
        raise UnsupportedError(f"{path}: {keys.name('expert_count')}: mixtures of experts are not supported")
    if window is not None and keys.architecture != "llama":
        raise UnsupportedError(
            f"{path}: {keys.name('attention.sliding_window')} is not supported for this architecture"
        )
    if (keys.metadata.integer("split.count") or 1) > 1:
        raise UnsupportedError(
            f"{path}: split.count: the file is one part of several; join them with gguf-split --merge"
        )


def _head_dim(keys: _Keys, hidden: int, heads: int) -> int:
    path = keys.metadata.path
    key_length = keys.integer("attention.key_length")
    if key_length is None:
        if heads == 0 or hidden % heads:
            raise FormatError(
                path, keys.name("attention.head_count"), f"{heads} does not divide embedding_length {hidden}"
            )
        key_length = hidden // heads
    for key in ("attention.value_length", "rope.dimension_count"):
        value = keys.integer(key)
        if value is not None and value != key_length:
            raise UnsupportedError(f"{path}: {keys.name(key)} {value} differs from the head width {key_length}")
    return key_length


def _rope_scaling(keys: _Keys, head_dim: int, theta: float, factors: NDArray[np.float32] | None) -> dict[str, Any]:
    metadata = keys.metadata
    if factors is not None:
        if factors.shape != (head_dim // 2,) or not np.all(np.isfinite(factors) & (factors > 0)):
            raise FormatError(metadata.path, "rope_freqs.weight", f"must be {head_dim // 2} positive numbers")
        return _as_llama3(factors, head_dim, theta)
    kind = metadata.text(keys.name("rope.scaling.type"))
    factor = metadata.number(keys.name("rope.scaling.factor")) or metadata.number(keys.name("rope.scale_linear"))
    if kind in (None, "linear") and factor is not None and factor != 1.0:
        return {"rope_scaling": {"rope_type": "linear", "factor": factor}}
    if kind in (None, "none", "linear"):
        return {}
    original = keys.integer("rope.scaling.original_context_length")
    return {
        "rope_scaling": {"rope_type": kind, "factor": factor, "original_max_position_embeddings": original},
    }


def _as_llama3(factors: NDArray[np.float32], head_dim: int, theta: float) -> dict[str, Any]:
    """The factors as the parameters that made them where these can be told, so that other tools can read the config.

    Otherwise `rope_frequency_factors`: divisors of the inverse frequencies, one for each pair of a head.
    """
    factor = float(factors.max())
    low, high = _LLAMA3_SCALING["low_freq_factor"], _LLAMA3_SCALING["high_freq_factor"]
    with np.errstate(all="ignore"):  # the base is checked where the config is read, not here
        wavelengths = 2 * np.pi * np.float64(theta) ** (np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
        turns = _LLAMA3_SCALING["original_max_position_embeddings"] / wavelengths
        smooth = np.clip((turns - low) / (high - low), 0.0, 1.0)
        expected = 1.0 / ((1 - smooth) / factor + smooth)
    if np.allclose(factors, expected, rtol=1e-5, atol=0.0):
        return {"rope_scaling": {"rope_type": "llama3", "factor": factor, **_LLAMA3_SCALING}}
    return {"rope_frequency_factors": tuple(float(value) for value in factors)}
