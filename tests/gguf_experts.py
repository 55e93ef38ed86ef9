"""GGUF files with experts, made of golden models as llama.cpp's converter makes them: names from the gguf package's own
tables, experts stacked, experts of Mixtral apart as they were at first."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from tiny_models import golden

Arrays = dict[str, NDArray[np.float32]]
Keys = dict[str, Any]
ARCHITECTURES = {
    "mixtral": gguf.MODEL_ARCH.LLAMA,
    "qwen2_moe": gguf.MODEL_ARCH.QWEN2MOE,
    "qwen3_moe": gguf.MODEL_ARCH.QWEN3MOE,
    "olmoe": gguf.MODEL_ARCH.OLMOE,
    "granitemoe": gguf.MODEL_ARCH.GRANITE_MOE,
}
_HEADS = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}
_ONE = re.compile(r"(.*\.experts)\.([0-9]+)\.(\w+)\.weight")


def architecture_of(family: str) -> str:
    """In the file."""
    return str(gguf.MODEL_ARCH_NAMES[ARCHITECTURES[golden(family).checkpoint.config["model_type"]]])


def arrays_of(family: str, *, apart: bool = False) -> Arrays:
    """The tensors of a golden model by their names in GGUF. `apart`: each expert in a tensor of its own."""
    config = golden(family).checkpoint.config
    table = gguf.get_tensor_name_map(ARCHITECTURES[config["model_type"]], config["num_hidden_layers"])
    dense = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    found: Arrays = {}
    for name, values in _stacked(load_file(golden(family).checkpoint.files[0])).items():
        stored = next(
            filter(None, (of.get_name(name, try_suffixes=(".weight", ".bias")) for of in (table, dense))), None
        )
        assert stored is not None, name
        projection = name.split(".")[-2]
        interleaved = projection in _HEADS and config["model_type"] in ("mixtral", "granitemoe")
        rows = _pairs_together(values, config[_HEADS[projection]]) if interleaved else values
        # The converter squeezes what it writes.
        found[stored] = rows.squeeze() if rows.ndim == 2 else rows
    return _unstacked(found) if apart else found


def _stacked(tensors: Arrays) -> Arrays:
    experts: dict[str, dict[int, NDArray[np.float32]]] = {}
    found: Arrays = {}
    for name, values in tensors.items():
        match = _ONE.fullmatch(name)
        block, _, linear = name.partition(".block_sparse_moe.")
        if match is not None:
            experts.setdefault(f"{match[1]}.{match[3]}.weight", {})[int(match[2])] = values
        elif linear == "input_linear.weight":
            gate, up = np.split(values, 2, axis=1)
            found |= {f"{block}.mlp.experts.gate_proj.weight": gate, f"{block}.mlp.experts.up_proj.weight": up}
        elif linear == "output_linear.weight":
            found[f"{block}.mlp.experts.down_proj.weight"] = values
        else:
            found[name] = values
    return found | {
        name: np.stack([matrices[number] for number in range(len(matrices))]) for name, matrices in experts.items()
    }


def _unstacked(arrays: Arrays) -> Arrays:
    found: Arrays = {}
    for name, values in arrays.items():
        if "_exps." in name:
            found |= {name.replace("_exps", f".{number}"): matrix for number, matrix in enumerate(values)}
        else:
            found[name] = values
    return found


def _pairs_together(values: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    by_half = values.reshape(heads, 2, -1, *values.shape[1:])
    return by_half.swapaxes(1, 2).reshape(values.shape)


def keys_of(family: str) -> Keys:
    """What the converter writes of the config."""
    config = golden(family).checkpoint.config
    keys: Keys = {
        ".context_length": config["max_position_embeddings"],
        ".embedding_length": config["hidden_size"],
        ".block_count": config["num_hidden_layers"],
        ".feed_forward_length": config["intermediate_size"],
        ".attention.head_count": config["num_attention_heads"],
        ".attention.head_count_kv": config["num_key_value_heads"],
        ".attention.layer_norm_rms_epsilon": config["rms_norm_eps"],
        ".rope.freq_base": float(config["rope_parameters"]["rope_theta"]),
        ".expert_count": config.get("num_local_experts") or config["num_experts"],
        ".expert_used_count": config["num_experts_per_tok"],
    }
    if config.get("head_dim"):
        keys |= {".attention.key_length": config["head_dim"], ".attention.value_length": config["head_dim"]}
    for key, field in (
        (".expert_feed_forward_length", "moe_intermediate_size"),
        (".expert_shared_feed_forward_length", "shared_expert_intermediate_size"),
        (".attention.sliding_window", "sliding_window"),
    ):
        if config.get(field):
            keys[key] = config[field]
    if config["model_type"] == "granitemoe":
        keys |= {
            ".embedding_scale": float(config["embedding_multiplier"]),
            ".residual_scale": float(config["residual_multiplier"]),
            ".logit_scale": float(config["logits_scaling"]),
            ".attention.scale": float(config["attention_multiplier"]),
        }
    return keys


def write_quantized(
    path: Path, architecture: str, keys: Keys, arrays: Arrays, kinds: Callable[[str], Literal["Q8_0", "Q4_K"]]
) -> Path:
    """Matrices in random blocks with scales of about the size of trained ones; routers and vectors stay F32.

    `arrays` gives names and shapes, and the values of what stays, `kinds` the type of each matrix by its name.
    """
    rng = np.random.default_rng(3)
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in keys.items():
        (writer.add_float32 if isinstance(value, float) else writer.add_uint32)(architecture + key, value)
    for name, array in arrays.items():
        if array.ndim == 1 or "ffn_gate_inp" in name:
            writer.add_tensor(name, array)
            continue
        kind = kinds(name)
        blocks = gguf.GGMLQuantizationType[kind]
        values, nbytes = gguf.GGML_QUANT_SIZES[blocks]
        raw = rng.integers(0, 256, (*array.shape[:-1], array.shape[-1] // values, nbytes), dtype=np.uint8)
        # The factors of both kinds are float16 in front: d, and of Q4_K the factor of the minimums.
        for place in range(2 if kind == "Q4_K" else 1):
            size = 2.0**-14 if kind == "Q4_K" else 2.0**-10
            scales = (rng.uniform(0.5, 1.5, raw.shape[:-1]) * size).astype("<f2")
            raw[..., 2 * place : 2 * place + 2] = scales[..., None].view(np.uint8)
        writer.add_tensor(name, raw.reshape(*array.shape[:-1], -1), raw_dtype=blocks)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
