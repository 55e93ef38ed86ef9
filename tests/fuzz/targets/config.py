"""config.json of a directory: what model it names and how large that is, before anything is allocated."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fuzzing.json_mutations import mutate_json
from fuzzing.target import Target
from honed.checkpoints.open import open_checkpoint
from honed.models.registry import read_model
from safetensors_builder import write_arrays

_SIZES = {"vocab_size": 40, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
_SIZES |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}
_SHARED = {**_SIZES, "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": True, "torch_dtype": "float32"}
_ROPE = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
_HEADS = {"q": 32, "k": 16, "v": 16, "o": 32}
_GROUP = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 32}


def _arrays(config: bytes) -> dict[str, NDArray[np.float32]]:
    """The weights of a model of these sizes."""
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (40, 32), "model.norm.weight": (32,)}
    for layer in (0, 1):
        name = f"model.layers.{layer}"
        shapes |= {f"{name}.{norm}_layernorm.weight": (32,) for norm in ("input", "post_attention")}
        shapes |= {f"{name}.self_attn.{part}_proj.weight": (rows, 32) for part, rows in _HEADS.items()}
        shapes |= {f"{name}.mlp.{part}_proj.weight": (48, 32) for part in ("gate", "up")}
        shapes[f"{name}.mlp.down_proj.weight"] = (32, 48)
        if b"qwen2" in config:
            shapes |= {f"{name}.self_attn.{part}_proj.bias": (_HEADS[part],) for part in "qkv"}
        if b"qwen3" in config:
            shapes |= {f"{name}.self_attn.{part}_norm.weight": (8,) for part in "qk"}
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


def write_weights(folder: Path, config: bytes) -> None:
    """The file of the weights of a model that a config is of."""
    write_arrays(folder / "model.safetensors", _arrays(config))


def read(data: bytes, folder: Path) -> None:
    (folder / "config.json").write_bytes(data)
    write_weights(folder, data)
    checkpoint = open_checkpoint(str(folder))
    read_model(checkpoint.config, folder)
    for name in checkpoint.names:
        checkpoint.weight(name).decode()


def seeds() -> Sequence[bytes]:
    scaled = {"rope_scaling": {**_ROPE, "original_max_position_embeddings": 32}, "rope_theta": 500000.0}
    quantized = {
        "quantization_config": {
            "quant_method": "compressed-tensors",
            "format": "pack-quantized",
            "quantization_status": "compressed",
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": _GROUP, "input_activations": None}},
            "ignore": ["lm_head", "re:.*"],
        }
    }
    configs = [
        {"model_type": "llama", "architectures": ["LlamaForCausalLM"], **_SHARED, **scaled},
        {"model_type": "llama", **_SHARED, **quantized},
        {"model_type": "mistral", **_SHARED, "sliding_window": 7, "head_dim": 8},
        {"model_type": "qwen2", **_SHARED, "use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
        {"model_type": "qwen3", **_SHARED, "head_dim": 8},
    ]
    return [json.dumps(config).encode() for config in configs]


TARGET = Target("config", read, seeds, mutate_json)
