"""Blocks are read off the graph of a model, whatever its family."""

from __future__ import annotations

import pytest

from honed.compress.blocks import find_blocks
from honed.compress.linears import HEAD
from honed.models.recorded import main_graph
from honed.models.registry import read_model
from honed.ops.record import Node, Recorder, record
from honed.ops.values import Weight
from tiny_encoder import TinyEncoder
from tiny_models import SIZES
from unknown_op import odd_model


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3"])
def test_a_decoder_has_one_for_attention_and_one_for_the_mlp_of_each_layer_and_the_head(kind: str) -> None:
    graph = main_graph(read_model({**SIZES, "model_type": kind, "tie_word_embeddings": False}))
    blocks = find_blocks(graph)
    parts = [{name.removeprefix("model.layers.").removesuffix("_proj.weight") for name in b.linears} for b in blocks]
    layers = [
        {f"{layer}.{part}" for part in of_part}
        for layer in range(2)
        for of_part in (
            ["self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o"],
            ["mlp.gate", "mlp.up", "mlp.down"],
        )
    ]
    assert parts == [*layers, {HEAD}]
    assert tuple(statement for block in blocks for statement in block.statements) == graph.statements


def test_an_encoder_has_them_too_and_what_has_no_linear_layer_joins_its_neighbour() -> None:
    graph = main_graph(TinyEncoder())
    blocks = find_blocks(graph)
    expected = [{"0.q", "0.k", "0.v", "0.o"}, {"0.up", "0.down"}, {"1.q", "1.k", "1.v", "1.o"}]
    assert [{name.removesuffix(".weight") for name in block.linears} for block in blocks[:3]] == expected
    assert all(block.linears for block in blocks)
    assert tuple(statement for block in blocks for statement in block.statements) == graph.statements


def test_an_op_that_is_not_known_ends_no_block_that_it_stands_in() -> None:
    blocks = find_blocks(main_graph(odd_model()))
    assert len(blocks) == 2 * 2 + 1
    assert len(blocks[3].linears) == 6


def test_a_graph_that_never_comes_down_to_one_value_is_one_block() -> None:
    def forward(ops: Recorder) -> Node:
        x = ops.embedding(Weight("table", (9, 4)))
        return ops.add(ops.add(x, ops.linear(x, Weight("w", (4, 4)))), x)

    graph = record(lambda ops: {"x": forward(ops)})
    (block,) = find_blocks(graph)
    assert block.statements == graph.statements
