"""gpt-oss as llama.cpp's converter writes it, with its experts as floats and in MXFP4."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

from gguf_builder import write_model
from honed.backends.interpreter import InterpreterBackend, InterpreterConfig
from honed.backends.native import NativeBackend
from honed.backends.native_config import NativeConfig
from honed.checkpoints.gguf.checkpoint import GgufCheckpoint
from honed.checkpoints.open import open_checkpoint
from honed.encodings.gguf_blocks import GgufBlocks
from honed.encodings.mxfp4 import Mxfp4
from honed.errors import HonedError
from honed.models.registry import read_model
from packed_gpt_oss import TOKENS, packed
from tiny_models import golden, whole

Arrays = dict[str, NDArray[Any]]
NAMES = {
    "embed_tokens": "token_embd",
    "norm": "output_norm",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.sinks": "attn_sinks",
    "post_attention_layernorm": "post_attention_norm",
    "mlp.router": "ffn_gate_inp",
}


def spelled(tensors: Arrays) -> Arrays:
    """As the converter has them: gates and ups apart, experts as (out, in), sinks a weight."""
    found: Arrays = {}
    for name, values in tensors.items():
        layer, _, inside = name.removeprefix("model.layers.").partition(".")
        before = f"blk.{layer}." if name.startswith("model.layers.") else ""
        part, _, kind = (inside if before else name.removeprefix("model.")).rpartition(".")
        if name == "lm_head.weight":
            found["output.weight"] = values
        elif kind == "sinks":
            found[f"{before}attn_sinks.weight"] = values
        elif part == "mlp.experts":
            own, bias = kind.removesuffix("_bias"), kind.endswith("_bias")
            end = "bias" if bias else "weight"
            outputs = values if bias else values.swapaxes(1, 2)
            if own == "down_proj":
                found[f"{before}ffn_down_exps.{end}"] = outputs
            else:
                found[f"{before}ffn_gate_exps.{end}"] = outputs[:, 0::2]
                found[f"{before}ffn_up_exps.{end}"] = outputs[:, 1::2]
        else:
            found[f"{before}{NAMES[part]}.{kind}"] = values
    return {name: np.ascontiguousarray(values, dtype=np.float32) for name, values in found.items()}


def keys_of(config: Any) -> dict[str, Any]:
    scaling = config["rope_parameters"]
    return {
        ".context_length": config["max_position_embeddings"],
        ".embedding_length": config["hidden_size"],
        ".block_count": config["num_hidden_layers"],
        ".feed_forward_length": config["intermediate_size"],
        ".attention.head_count": config["num_attention_heads"],
        ".attention.head_count_kv": config["num_key_value_heads"],
        ".attention.key_length": config["head_dim"],
        ".attention.value_length": config["head_dim"],
        ".attention.layer_norm_rms_epsilon": config["rms_norm_eps"],
        ".attention.sliding_window": config["sliding_window"],
        ".rope.freq_base": scaling["rope_theta"],
        ".rope.scaling.type": "yarn",
        ".rope.scaling.factor": scaling["factor"],
        ".rope.scaling.original_context_length": scaling["original_max_position_embeddings"],
        ".expert_count": config["num_local_experts"],
        ".expert_used_count": config["num_experts_per_tok"],
        ".expert_feed_forward_length": config["intermediate_size"],
    }


def written(folder: Path, **changed: Any) -> Path:
    made = golden("gpt_oss").checkpoint
    keys = {**keys_of(made.config), **{f".{name}": value for name, value in changed.items()}}
    return write_model(folder / "x.gguf", "gpt-oss", changed=keys, arrays=spelled(load_file(made.files[0])))


def test_floats_are_the_model_of_transformers(tmp_path: Path) -> None:
    made = golden("gpt_oss")
    checkpoint = GgufCheckpoint(written(tmp_path))
    assert read_model(checkpoint.config).rotary == read_model(made.checkpoint.config).rotary  # type: ignore[attr-defined]
    assert set(checkpoint.names) == set(made.checkpoint.names)
    for name in made.checkpoint.names:
        np.testing.assert_array_equal(checkpoint.weight(name).decode(), made.checkpoint.weight(name).decode(), name)
    backend = InterpreterBackend.load(checkpoint, InterpreterConfig(kv_tokens=128))
    assert made.agrees(backend.forward(whole(made.tokens)))


def test_a_rotation_that_is_not_stretched_is_not(tmp_path: Path) -> None:
    stretched = {f"rope.scaling.{name}": None for name in ("type", "factor", "original_context_length")}
    model: Any = read_model(GgufCheckpoint(written(tmp_path, **stretched)).config)
    assert model.rotary.attention_factor == 1.0
    assert model.rotary.inverse_frequencies[0] == 1.0


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("attention.sliding_window_pattern", 3, "sliding_window_pattern: is 3, and supported is 2"),
        ("expert_gating_func", 2, "expert_gating_func: is 2, and supported is 3"),
        ("attention.sliding_window", None, "sliding_window: is None, but there are layers"),
        ("expert_count", None, "num_local_experts"),
    ],
)
def test_what_is_refused(key: str, value: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(HonedError, match=says):
        GgufCheckpoint(written(tmp_path, **{key: value}))


def test_mxfp4_is_the_model_of_the_directory_to_the_bit(tmp_path: Path) -> None:
    source = open_checkpoint(str(packed(tmp_path / "packed")))
    tensors: Arrays = {}
    for name in source.names:
        weight = source.weight(name)
        if "experts" not in name:
            tensors[name] = weight.decode()
    arrays = spelled(tensors)
    layers, experts = source.config["num_hidden_layers"], source.config["num_local_experts"]
    blocks: Arrays = {}
    for layer in range(layers):
        for part in ("gate", "up", "down"):
            named = [f"model.layers.{layer}.mlp.experts.{expert}.{part}_proj" for expert in range(experts)]
            blocks[f"blk.{layer}.ffn_{part}_exps.weight"] = np.stack(
                [_in_blocks(source.weight(f"{name}.weight")) for name in named]
            )
            biases = [source.weight(f"{name}.bias").decode() for name in named]
            arrays[f"blk.{layer}.ffn_{part}_exps.bias"] = np.stack(biases)
    path = _write(tmp_path / "x.gguf", keys_of(_with_rotation(source.config)), arrays, blocks)
    checkpoint = GgufCheckpoint(path)
    weight = checkpoint.weight("model.layers.1.mlp.experts.2.down_proj.weight")
    assert isinstance(weight, GgufBlocks)
    assert weight.type_name == "MXFP4"
    for name in source.names:
        np.testing.assert_array_equal(checkpoint.weight(name).decode(), source.weight(name).decode(), name)
    config = NativeConfig(kv_tokens=128, threads=2, keep_packed=False)
    found = NativeBackend.load(checkpoint, config).forward(whole(TOKENS))
    np.testing.assert_array_equal(found, NativeBackend.load(source, config).forward(whole(TOKENS)))


def _with_rotation(config: Any) -> dict[str, Any]:
    """What transformers makes of a config that says nothing of it."""
    rotation = {"rope_theta": 150000.0, "factor": 32.0, "original_max_position_embeddings": 4096}
    return {"rms_norm_eps": 1e-5, **config, "rope_parameters": rotation}


def _in_blocks(weight: Any) -> NDArray[np.uint8]:
    """Rows of a file of the other form, as bytes of blocks: the low halves are the first sixteen values."""
    assert isinstance(weight, Mxfp4)
    values = np.stack((weight.blocks & 15, weight.blocks >> 4), axis=-1).reshape(*weight.exponents.shape, 2, 16)
    halves = values[..., 0, :] | values[..., 1, :] << 4
    joined = np.concatenate((weight.exponents[..., None], halves), axis=-1)
    return np.ascontiguousarray(joined.reshape(len(joined), -1).astype(np.uint8))


def _write(path: Path, keys: dict[str, Any], arrays: Arrays, blocks: Arrays) -> Path:
    writer = gguf.GGUFWriter(path, "gpt-oss")
    for key, value in keys.items():
        add = {int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}[type(value)]
        add(f"gpt-oss{key}", value)
    for name, values in arrays.items():
        writer.add_tensor(name, np.ascontiguousarray(values, dtype=np.float32))
    for name, values in blocks.items():
        writer.add_tensor(name, values, raw_dtype=gguf.GGMLQuantizationType.MXFP4)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
