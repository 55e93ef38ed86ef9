"""GGUF files of the families whose weights lie otherwise there, written as llama.cpp's converter writes them, against
the model in transformers that they were made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

from gguf_builder import write_model
from honed.backends.interpreter import InterpreterBackend, InterpreterConfig
from honed.checkpoints.gguf.checkpoint import GgufCheckpoint
from honed.encodings.gguf_blocks import GgufBlocks
from honed.errors import FormatError, UnsupportedError
from honed.models.registry import read_model
from tiny_models import golden, whole

Arrays = dict[str, NDArray[np.float32]]
Keys = dict[str, Any]
CONFIG = InterpreterConfig(kv_tokens=128)
GPT2 = {"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm"}
GPT2_LAYER = {
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
NEOX_LAYER = {
    "input_layernorm": "attn_norm",
    "attention.query_key_value": "attn_qkv",
    "attention.dense": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.dense_h_to_4h": "ffn_up",
    "mlp.dense_4h_to_h": "ffn_down",
}
LLAMA = {"embed_tokens": "token_embd", "norm": "output_norm"}
LLAMA_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.qkv_proj": "attn_qkv",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}


def spelled(family: str, base: str, layers: str, outside: Mapping[str, str], inside: Mapping[str, str]) -> Arrays:
    """The tensors of a golden model by their names in GGUF."""
    found: Arrays = {}
    for name, values in load_file(golden(family).checkpoint.files[0]).items():
        module, _, kind = name.removeprefix(base).rpartition(".")
        if name in ("lm_head.weight", "embed_out.weight"):
            found["output.weight"] = values
        elif module.startswith(layers):
            number, _, part = module.removeprefix(layers).partition(".")
            found[f"blk.{number}.{inside[part]}.{kind}"] = values
        else:
            found[f"{outside[module]}.{kind}"] = values
    return found


def keys_of(family: str, **fields: str) -> Keys:
    """What every converter writes; `fields` are those that the family calls otherwise."""
    config = golden(family).checkpoint.config

    def read(name: str) -> Any:
        return config[fields.get(name, name)]

    return {
        ".context_length": read("max_position_embeddings"),
        ".embedding_length": read("hidden_size"),
        ".block_count": read("num_hidden_layers"),
        ".feed_forward_length": read("intermediate_size"),
        ".attention.head_count": read("num_attention_heads"),
        ".attention.head_count_kv": config.get("num_key_value_heads"),
        ".attention.layer_norm_rms_epsilon": None,
        ".rope.freq_base": None,
    }


def of_gpt2() -> tuple[Arrays, Keys]:
    arrays = spelled("gpt2", "transformer.", "h.", GPT2, GPT2_LAYER)
    transposed = ("attn_qkv.weight", "attn_output.weight", "ffn_up.weight", "ffn_down.weight")
    arrays |= {name: values.T.copy() for name, values in arrays.items() if name.endswith(transposed)}
    names = {
        "max_position_embeddings": "n_positions",
        "hidden_size": "n_embd",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "intermediate_size": "n_embd",
    }
    return arrays, keys_of("gpt2", **names) | {
        ".feed_forward_length": 4 * golden("gpt2").checkpoint.config["n_embd"],
        ".attention.layer_norm_epsilon": golden("gpt2").checkpoint.config["layer_norm_epsilon"],
    }


def of_neox() -> tuple[Arrays, Keys]:
    outside = {"embed_in": "token_embd", "final_layer_norm": "output_norm"}
    arrays = spelled("gpt_neox", "gpt_neox.", "layers.", outside, NEOX_LAYER)
    config = golden("gpt_neox").checkpoint.config
    heads = config["num_attention_heads"]
    head_dim = config["hidden_size"] // heads
    for name, values in list(arrays.items()):
        if "attn_qkv" in name:
            by_head = values.reshape(heads, 3, head_dim, *values.shape[1:])
            arrays[name] = np.concatenate([by_head[:, part].reshape(-1, *values.shape[1:]) for part in range(3)])
    return arrays, keys_of("gpt_neox") | {
        ".rope.dimension_count": head_dim // 2,
        ".use_parallel_residual": True,
        ".attention.layer_norm_epsilon": config["layer_norm_eps"],
    }


def of_phi3() -> tuple[Arrays, Keys]:
    config = golden("phi3").checkpoint.config
    return spelled("phi3", "model.", "layers.", LLAMA, LLAMA_LAYER), keys_of("phi3") | {
        ".attention.layer_norm_rms_epsilon": config["rms_norm_eps"],
        ".rope.freq_base": 10000.0,
        ".rope.dimension_count": 12,
        ".rope.scaling.original_context_length": 256,
        ".attention.sliding_window": config["sliding_window"],
    }


def of_longrope() -> tuple[Arrays, Keys]:
    config = golden("phi3_longrope").checkpoint.config
    arrays = spelled("phi3_longrope", "model.", "layers.", LLAMA, LLAMA_LAYER)
    scaling = config["rope_parameters"]
    arrays["rope_factors_long.weight"] = np.array(scaling["long_factor"], np.float32)
    arrays["rope_factors_short.weight"] = np.array(scaling["short_factor"], np.float32)
    original = scaling["original_max_position_embeddings"]
    factor = math.sqrt(1 + math.log(config["max_position_embeddings"] / original) / math.log(original))
    return arrays, keys_of("phi3_longrope") | {
        ".attention.layer_norm_rms_epsilon": config["rms_norm_eps"],
        ".rope.freq_base": 10000.0,
        ".rope.dimension_count": 6,
        ".rope.scaling.original_context_length": original,
        ".rope.scaling.attn_factor": factor,
        ".attention.sliding_window": 0,
    }


def of_starcoder2() -> tuple[Arrays, Keys]:
    config = golden("starcoder2").checkpoint.config
    return spelled("starcoder2", "model.", "layers.", LLAMA, LLAMA_LAYER), keys_of("starcoder2") | {
        ".attention.layer_norm_epsilon": config["norm_epsilon"],
        ".rope.freq_base": 10000.0,
    }


SEPARATE = {
    **LLAMA_LAYER,
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
}
BEHIND = {
    **SEPARATE,
    "post_attention_layernorm": "post_attention_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
AROUND = {**LLAMA_LAYER, "post_self_attn_layernorm": "post_attention_norm", "post_mlp_layernorm": "post_ffw_norm"}


def pairs_together(family: str, arrays: Arrays) -> Arrays:
    """As the converter of a llama has it: the halves of a rotated pair become neighbours."""
    config = golden(family).checkpoint.config
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    for name, values in arrays.items():
        part = name.split(".")[-2]
        if part in heads:
            by_half = values.reshape(heads[part], 2, -1, *values.shape[1:])
            arrays[name] = by_half.swapaxes(1, 2).reshape(values.shape)
    return arrays


def like_llama(family: str, names: Mapping[str, str], **keys: Any) -> tuple[Arrays, Keys]:
    config = golden(family).checkpoint.config
    arrays = spelled(family, "model.", "layers.", LLAMA, names)
    if "rms_norm_eps" in config:
        keys[".attention.layer_norm_rms_epsilon"] = config["rms_norm_eps"]
    else:
        keys[".attention.layer_norm_epsilon"] = config["layer_norm_eps"]
    return arrays, keys_of(family) | {".rope.freq_base": config["rope_parameters"]["rope_theta"]} | keys


def of_granite() -> tuple[Arrays, Keys]:
    config = golden("granite").checkpoint.config
    scales = {
        ".embedding_scale": "embedding_multiplier",
        ".residual_scale": "residual_multiplier",
        ".logit_scale": "logits_scaling",
        ".attention.scale": "attention_multiplier",
    }
    arrays, keys = like_llama("granite", SEPARATE, **{key: config[name] for key, name in scales.items()})
    return pairs_together("granite", arrays), keys


def of_smollm3() -> tuple[Arrays, Keys]:
    arrays, keys = like_llama("smollm3", SEPARATE)
    return pairs_together("smollm3", arrays), keys


def of_cohere2() -> tuple[Arrays, Keys]:
    return like_llama("cohere2", SEPARATE, **{".logit_scale": 0.0625, ".attention.sliding_window": 7})


def of_glm(family: str) -> tuple[Arrays, Keys]:
    config = golden(family).checkpoint.config
    width = config["head_dim"]
    widths = {".attention.key_length": width, ".attention.value_length": width, ".rope.dimension_count": width // 2}
    return like_llama(family, AROUND if family == "glm4" else LLAMA_LAYER, **widths)


FILES: dict[str, tuple[str, Callable[[], tuple[Arrays, Keys]]]] = {
    "gpt2": ("gpt2", of_gpt2),
    "gpt_neox": ("gptneox", of_neox),
    "phi3": ("phi3", of_phi3),
    "phi3_longrope": ("phi3", of_longrope),
    "starcoder2": ("starcoder2", of_starcoder2),
    "granite": ("granite", of_granite),
    "olmo2": ("olmo2", lambda: like_llama("olmo2", BEHIND)),
    "smollm3": ("smollm3", of_smollm3),
    "cohere": ("command-r", lambda: like_llama("cohere", SEPARATE, **{".logit_scale": 0.0625})),
    "cohere2": ("cohere2", of_cohere2),
    "glm": ("chatglm", lambda: of_glm("glm")),
    "glm4": ("glm4", lambda: of_glm("glm4")),
}


@pytest.mark.parametrize("family", FILES)
def test_a_file_is_the_model_that_it_was_made_of(family: str, tmp_path: Path) -> None:
    architecture, make = FILES[family]
    arrays, keys = make()
    checkpoint = GgufCheckpoint(write_model(tmp_path / "m.gguf", architecture, changed=keys, arrays=arrays))
    made = golden(family)
    assert set(checkpoint.names) == set(made.checkpoint.names)
    for name in checkpoint.names:
        np.testing.assert_array_equal(checkpoint.weight(name).decode(), made.checkpoint.weight(name).decode())
    assert read_model(checkpoint.config).dimensions == read_model(made.checkpoint.config).dimensions
    assert made.agrees(InterpreterBackend.load(checkpoint, CONFIG).forward(whole(made.tokens)))


@pytest.mark.parametrize("family", ["gpt2", "phi3", "starcoder2"])
def test_transformers_reads_the_same_of_it(family: str, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    architecture, make = FILES[family]
    arrays, keys = make()
    checkpoint = GgufCheckpoint(write_model(tmp_path / "m.gguf", architecture, changed=keys, arrays=arrays))
    sizes = AutoConfig.for_model(**{**checkpoint.config, "pad_token_id": None})
    model = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="m.gguf", config=sizes, dtype="float32")
    read = model.state_dict()
    for name, values in load_file(golden(family).checkpoint.files[0]).items():
        assert np.array_equal(read[name].numpy(), values), name


def test_rows_of_blocks_stay_in_their_file(tmp_path: Path) -> None:
    """Widths of whole blocks: 64 features, 4 heads of 16."""
    rng, width = np.random.default_rng(5), 64

    def drawn(*shape: int) -> NDArray[np.float32]:
        return rng.standard_normal(shape).astype(np.float32)

    block = {
        "attn_norm.weight": drawn(width),
        "attn_qkv.weight": drawn(width + 2 * 32, width),
        "attn_output.weight": drawn(width, width),
        "ffn_norm.weight": drawn(width),
        "ffn_up.weight": drawn(192, width),
        "ffn_down.weight": drawn(width, 96),
    }
    arrays = {f"blk.{layer}.{name}": values for layer in range(2) for name, values in block.items()}
    arrays |= {"token_embd.weight": drawn(40, width), "output_norm.weight": drawn(width)}
    checkpoint = GgufCheckpoint(
        write_model(tmp_path / "m.gguf", "phi3", arrays=arrays, kind=gguf.GGMLQuantizationType.Q8_0)
    )
    v = checkpoint.weight("model.layers.1.self_attn.v_proj.weight")
    assert isinstance(v, GgufBlocks)
    assert v.shape == (32, width)
    assert np.allclose(v.decode(), block["attn_qkv.weight"][96:], atol=0.03)


def test_a_tensor_of_another_size_is_named(tmp_path: Path) -> None:
    arrays, keys = of_phi3()
    arrays["blk.1.ffn_up.weight"] = arrays["blk.1.ffn_up.weight"][:-2]
    with pytest.raises(FormatError, match=r"model\.layers\.1\.mlp\.gate_up_proj\.weight: has shape \(174, 48\)"):
        GgufCheckpoint(write_model(tmp_path / "m.gguf", "phi3", changed=keys, arrays=arrays))


def test_keys_of_one_family_are_refused_for_others(tmp_path: Path) -> None:
    arrays, keys = of_starcoder2()
    with pytest.raises(UnsupportedError, match="use_parallel_residual: is True"):
        GgufCheckpoint(
            write_model(
                tmp_path / "m.gguf", "starcoder2", changed=keys | {".use_parallel_residual": True}, arrays=arrays
            )
        )
    with pytest.raises(UnsupportedError, match=r"rope\.dimension_count 4 differs from the head width 12"):
        GgufCheckpoint(
            write_model(tmp_path / "n.gguf", "starcoder2", changed=keys | {".rope.dimension_count": 4}, arrays=arrays)
        )
