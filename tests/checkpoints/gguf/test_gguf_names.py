"""Names against those of the gguf package's own table, and the order of interleaved rows."""

from __future__ import annotations

from dataclasses import replace

import gguf
import numpy as np
import pytest

from honed.checkpoints.gguf.names import heads_to_reorder, huggingface_name, split_halves
from honed.models.llama import FAMILY as LLAMA
from honed.models.mistral import FAMILY as MISTRAL
from honed.models.qwen3 import FAMILY as QWEN3

PARTS = (
    "input_layernorm",
    "post_attention_layernorm",
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "self_attn.q_norm",
    "self_attn.k_norm",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)
WHOLE = ("model.embed_tokens.weight", "model.norm.weight", "lm_head.weight")
LAYERS = [f"model.layers.{layer}.{part}.{kind}" for layer in (0, 17) for part in PARTS for kind in ("weight", "bias")]


@pytest.mark.parametrize("name", [*WHOLE, *LAYERS])
def test_against_the_table_of_the_gguf_package(name: str) -> None:
    table = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, 32)
    stored = table.get_name(name, try_suffixes=(".weight", ".bias"))
    assert stored is not None
    assert huggingface_name(stored, QWEN3) == name


@pytest.mark.parametrize(
    "name",
    ["", "a\n", "blk.x.attn_q.weight", "blk.00.attn_q.weight", "blk.0.attn_q.scale", "blk.-1.attn_q.weight", "a\n"],
)
def test_other_names(name: str) -> None:
    assert huggingface_name(name, QWEN3) is None


def test_a_name_that_the_family_does_not_have() -> None:
    assert huggingface_name("blk.0.attn_q_norm.weight", LLAMA) is None
    assert huggingface_name("blk.0.attn_q.weight", replace(LLAMA, gguf=None)) is None
    spelled = replace(LLAMA, layer_prefix="encoder.layer.")
    assert huggingface_name("blk.3.attn_q.bias", spelled) == "encoder.layer.3.self_attn.q_proj.bias"


def test_which_rows_are_interleaved() -> None:
    config = {"num_attention_heads": 8, "num_key_value_heads": 2}
    for family in (LLAMA, MISTRAL):
        assert heads_to_reorder("blk.3.attn_q.weight", family, config) == 8
        assert heads_to_reorder("blk.3.attn_k.bias", family, config) == 2
        assert heads_to_reorder("blk.3.attn_v.weight", family, config) is None
        assert heads_to_reorder("output.weight", family, config) is None
    assert heads_to_reorder("blk.3.attn_q.weight", QWEN3, config) is None


def test_order_undoes_the_converter() -> None:
    """The converter of llama.cpp stacks the halves of each head pair by pair."""
    rows = np.arange(96)
    for heads in (1, 2, 6):
        stored = rows.reshape(heads, 2, 96 // heads // 2).swapaxes(1, 2).reshape(96)
        assert np.array_equal(stored[split_halves(96, heads)], rows)
