"""A random decoder whose widths are whole groups of weights, for tests of what is stored how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.backends.native import NativeBackend
from honed.backends.native_config import NativeConfig
from honed.compress.linears import HEAD
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.models.registry import read_model
from tiny_models import MemoryCheckpoint, whole

TABLE = "model.embed_tokens.weight"
VOCABULARY = 61
WINDOWS = [[int(token) for token in row] for row in np.random.default_rng(9).integers(0, VOCABULARY, (5, 24))]


def config(*, tied: bool = True, **other: Any) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 160,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": tied,
        **other,
    }


def random_weights(of: Mapping[str, Any], seed: int = 2) -> dict[str, Encoded]:
    """Of ordinary size: matrices keep that of a row, norms are about 1."""
    random = np.random.default_rng(seed)
    found: dict[str, Encoded] = {}
    for name, weight in read_model(of).weights().items():
        values = random.standard_normal(weight.shape) / 8
        found[name] = Dense((values + ("norm" in name)).astype(np.float32), "float32")
    return found


def logits(of: Mapping[str, Any], weights: Mapping[str, Encoded], windows: list[list[int]]) -> NDArray[np.float32]:
    """Of every token of every window, as the engine gives them with a cache in float32; a head under its own name is
    that of a tied model."""
    tied = of["tie_word_embeddings"]
    head = weights.get(HEAD) if tied else None
    named = {name: weight for name, weight in weights.items() if not (tied and name == HEAD)}
    settings = NativeConfig(kv_dtype="float32", threads=1, kv_tokens=128, keep_packed=False)
    backend = NativeBackend.load(MemoryCheckpoint(of, named, head), settings)
    return np.concatenate([backend.forward(whole(np.array(window, np.int32))).copy() for window in windows])
