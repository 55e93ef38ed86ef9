"""Names and row order of GGUF tensors, translated to those of Hugging Face.

The Llama converter stores the rows of the query and key projections so that the two halves of a rotated pair lie
next to each other; Hugging Face keeps the halves of a head apart. Rows are put back in order when they are decoded.
Not here: reading the file (`header.py`), the config (`config.py`).
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

_WHOLE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_BLOCK = re.compile(r"blk\.(0|[1-9][0-9]{0,5})\.([a-z_]+)\.(weight|bias)")
ROPE_FACTORS = "rope_freqs.weight"
"""Not a weight of the model but a part of its config."""


def huggingface_name(name: str) -> str | None:
    """The Hugging Face name, or None for a tensor that the supported architectures do not have."""
    if name in _WHOLE:
        return _WHOLE[name]
    match = _BLOCK.fullmatch(name)
    if match is None or match[2] not in _LAYER:
        return None
    return f"model.layers.{match[1]}.{_LAYER[match[2]]}.{match[3]}"


def heads_to_reorder(name: str, architecture: str, heads: int, kv_heads: int) -> int | None:
    """How many heads the rows of a tensor (GGUF name) are interleaved over, None where rows lie as expected."""
    match = _BLOCK.fullmatch(name)
    if architecture != "llama" or match is None:
        return None
    return {"attn_q": heads, "attn_k": kv_heads}.get(match[2])


def split_halves(rows: int, heads: int) -> NDArray[np.intp]:
    """Stored row of each logical row: within a head, stored 2 i + j is logical j * (head / 2) + i.

    `rows` must be a multiple of 2 * heads.
    """
    order: NDArray[np.intp] = np.arange(rows).reshape(heads, -1, 2).swapaxes(1, 2).reshape(-1)
    return order
