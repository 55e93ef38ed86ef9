"""The tensors of a dense Hugging Face directory as llama.cpp's converter names and arranges them.

Experts of a layer are stacked, and a gate and an up projection that lie in one tensor come apart; where the
architecture rotates neighbours, the rows of queries and keys are put in that order. Runs in the environment of the
peer: nothing but numpy is needed. Not here: the config and the tokenizer (`gguf_model.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

from honed.bench.peers.base import PeerError

_ARCHITECTURES = {"mistral": "llama", "mixtral": "llama", "qwen2_moe": "qwen2moe", "qwen3_moe": "qwen3moe"}
_NEIGHBOURS = ("llama", "granite", "granitemoe")
"""Architectures whose rotated pairs lie next to each other (`checkpoints/gguf/names.py`)."""
_WHOLE = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.gate": "ffn_gate_inp",
    "block_sparse_moe.gate": "ffn_gate_inp",
    "block_sparse_moe.router.layer": "ffn_gate_inp",
    "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
    "mlp.shared_expert.gate_proj": "ffn_gate_shexp",
    "mlp.shared_expert.up_proj": "ffn_up_shexp",
    "mlp.shared_expert.down_proj": "ffn_down_shexp",
    "block_sparse_moe.output_linear": "ffn_down_exps",
}
_TOGETHER = "block_sparse_moe.input_linear"
"""Gate and up of every expert, behind each other."""
_EXPERT = re.compile(r"(?:mlp|block_sparse_moe)\.experts\.([0-9]+)\.(gate_proj|up_proj|down_proj|w1|w2|w3)")
_EXPERT_PARTS = {"w1": "gate", "w2": "down", "w3": "up", "gate_proj": "gate", "down_proj": "down", "up_proj": "up"}
_FLOAT32 = ("ffn_gate_inp", "ffn_gate_inp_shexp")
"""Matrices that llama.cpp keeps whole: what chooses an expert."""

Stored = tuple[str, Any, Literal["F32", "BF16"]]


def architecture_of(config: Mapping[str, Any]) -> str:
    """llama.cpp's name of a model_type."""
    kind = str(config["model_type"])
    return _ARCHITECTURES.get(kind, kind)


def stored_tensors(source: Path, config: Mapping[str, Any]) -> Iterator[Stored]:
    """Name, values and type of each tensor: float32, or the bits of bfloat16. PeerError for a weight without a name."""
    experts: dict[str, dict[int, Any]] = {}
    for name, read in _tensors(source):
        layer, module, suffix = _parts(name)
        match = _EXPERT.fullmatch(module)
        if name == "lm_head.weight" and config.get("tie_word_embeddings", False):
            continue
        if match is not None:
            of_part = experts.setdefault(f"blk.{layer}.ffn_{_EXPERT_PARTS[match[2]]}_exps.weight", {})
            of_part[int(match[1])] = read
        elif module == _TOGETHER:
            values = read()
            inner = values.shape[1] // 2
            yield f"blk.{layer}.ffn_gate_exps.{suffix}", values[:, :inner], "BF16"
            yield f"blk.{layer}.ffn_up_exps.{suffix}", values[:, inner:], "BF16"
        else:
            yield _one(name, read(), config)
    for name, matrices in experts.items():
        yield name, _stack(name, matrices), "BF16"


def _one(name: str, values: Any, config: Mapping[str, Any]) -> Stored:
    import numpy as np

    stored, heads = _gguf_name(name), _heads(name, config)
    if heads is not None and values.ndim == 2:
        # Beside each other: the halves of a rotated pair.
        values = values.reshape(heads, 2, -1, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
    if values.ndim == 1 or stored.split(".")[-2] in _FLOAT32:
        # ggml knows no outer extent of 1.
        whole = (values.astype(np.uint32) << 16).view(np.float32)
        return stored, whole[0] if whole.ndim == 2 and len(whole) == 1 else whole, "F32"
    return stored, values, "BF16"


def _stack(name: str, matrices: Mapping[int, Any]) -> Any:
    import numpy as np

    if sorted(matrices) != list(range(len(matrices))):
        raise PeerError(f"{name}: an expert is missing")
    return np.stack([matrices[number]() for number in range(len(matrices))])


def _heads(name: str, config: Mapping[str, Any]) -> int | None:
    """Of rows that are put in another order."""
    if architecture_of(config) not in _NEIGHBOURS:
        return None
    heads = int(config["num_attention_heads"])
    counts = {"q_proj": heads, "k_proj": int(config.get("num_key_value_heads") or heads)}
    return counts.get(name.split(".")[-2])


def _parts(name: str) -> tuple[str, str, str]:
    """Layer, module in the layer and kind of a weight; empty where it stands outside of the layers."""
    parts = name.split(".")
    inside = parts[:2] == ["model", "layers"] and len(parts) > 3
    return (parts[2], ".".join(parts[3:-1]), parts[-1]) if inside else ("", "", parts[-1])


def _gguf_name(name: str) -> str:
    if name in _WHOLE:
        return _WHOLE[name]
    layer, module, suffix = _parts(name)
    if module not in _LAYER:
        raise PeerError(f"{name}: GGUF has no name for this weight that is known here")
    return f"blk.{layer}.{_LAYER[module]}.{suffix}"


def _tensors(source: Path) -> Iterator[tuple[str, partial[Any]]]:
    """Every tensor, to be read as the bits of its bfloat16 values, mapped where it is stored so."""
    from honed.checkpoints.safetensors.reader import SafetensorsFile

    for path in sorted(source.glob("*.safetensors")):
        file = SafetensorsFile(path)
        for name in file.entries:
            yield name, partial(_bits, file, name)


def _bits(file: Any, name: str) -> Any:
    import numpy as np

    values = file.tensor(name)
    if file.entries[name].dtype == "BF16":
        return values
    bits = values.astype(np.float32).view(np.uint32)
    # Round to nearest, ties to even; weights are finite.
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
