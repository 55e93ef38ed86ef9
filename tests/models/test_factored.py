"""Factors that multiply to the weights give the logits of transformers, on every way that a graph is run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from honed.backends.interpreter import InterpreterBackend, InterpreterConfig
from honed.backends.native import NativeBackend
from honed.backends.native_config import NativeConfig
from honed.compress.linears import find_linears
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.encodings.int8_encoder import encode_int8
from honed.errors import FormatError
from honed.models.base import Model
from honed.models.factored import (
    FACTORS_FIELD,
    FactoredDecoder,
    FactoredEncoder,
    FactorGroup,
    factors_json,
    factors_of,
    with_factors,
    without_factors,
)
from honed.models.recorded import list_weights, main_graph, recorded
from honed.models.registry import read_any, read_encoder, read_model
from honed.ops.reference import GrowingStore, Rows, Step, run
from honed.ops.table import Add, Linear
from honed.plan.build import build_plan
from honed.plan.operations import Matmul
from tiny_encoders import SIZES as ENCODER_SIZES
from tiny_models import FAMILIES, SIZES, TOKENS, Golden, MemoryCheckpoint, golden, tiny_config, whole

LLAMA = {**SIZES, "model_type": "llama"}
Q, K, V, OUT = (f"model.layers.0.self_attn.{part}_proj.weight" for part in "qkvo")
GATE, UP, DOWN = (f"model.layers.1.mlp.{part}_proj.weight" for part in ("gate", "up", "down"))
TABLE = "model.embed_tokens.weight"
GROUPS = (FactorGroup((Q, K, V), 48), FactorGroup((GATE, UP), 48), FactorGroup((DOWN,), 88))


def groups_of(model: Model, *, added: bool) -> tuple[FactorGroup, ...]:
    """Of every linear layer that is nothing else, those of one input together, at full rank."""
    tables = {table.name for table in main_graph(model).weights().values() if "embed" in table.name}
    by_input: dict[int, list[Linear]] = {}
    for linear in main_graph(model).operations(Linear):
        if linear.weight.name not in tables and linear.weight.name not in (".wte.", "transformer.wte.weight"):
            by_input.setdefault(linear.inputs[0], []).append(linear)
    return tuple(
        FactorGroup(tuple(linear.weight.name for linear in linears), linears[0].weight.shape[1], added)
        for linears in by_input.values()
    )


def factored(made: Golden, groups: tuple[FactorGroup, ...]) -> MemoryCheckpoint:
    """The same function: of each group the first factor is a rotation of the inputs, and the second undoes it. Added
    factors are half of the weight, and the other half stays."""
    source = made.checkpoint
    random = np.random.default_rng(5)
    weights: dict[str, Encoded] = {name: source.weight(name) for name in source.names}
    for group in groups:
        rotation = np.linalg.qr(random.standard_normal((group.rank, group.rank)))[0]
        weights[group.inner] = dense(rotation)
        for name in group.weights:
            values = weights.pop(name).decode().astype(np.float64)
            part = 0.5 if group.added else 1.0
            weights[group.outer(name)] = dense(part * values @ rotation.T)
            if group.added:
                weights[name] = dense(values * 0.5)
    return MemoryCheckpoint({**source.config, **factors_json(groups)}, weights)


def dense(values: NDArray[np.float64]) -> Dense:
    return Dense(values.astype(np.float32), "float32")


def reference(checkpoint: MemoryCheckpoint, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
    graph = recorded(read_model(checkpoint.config, "memory"))
    weights = {name: torch.from_numpy(checkpoint.weight(name).decode().copy()) for name in graph.weights()}
    with torch.inference_mode():
        step = Step(weights, Rows.single(torch.from_numpy(tokens), 0), GrowingStore())
        logits: NDArray[np.float32] = run(graph, step)["logits"].numpy()
    return logits


@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize(
    "family", ["llama3", "llama_biases", "smollm2", "qwen3", "gpt2", "gpt_neox", "olmo2", "mixtral"]
)
def test_whole_factors_give_the_logits_of_transformers(family: str, added: bool) -> None:
    made = golden(family)
    groups = groups_of(read_model(made.checkpoint.config), added=added)
    assert len(groups) >= 3
    checkpoint = factored(made, groups)
    model = read_model(checkpoint.config)
    assert factors_of(model) == groups
    assert set(model.weights()) == set(checkpoint.names)
    assert made.agrees(reference(checkpoint, made.tokens))
    interpreted = InterpreterBackend.load(checkpoint, InterpreterConfig(kv_tokens=128))
    assert made.agrees(interpreted.forward(whole(made.tokens)))
    steps = [interpreted.forward(whole(made.tokens[t : t + 1], first=t)) for t in range(TOKENS)]
    assert made.agrees(np.concatenate(steps))


@pytest.mark.parametrize("added", [False, True])
def test_native_and_interpreter_give_the_same_bits(added: bool) -> None:
    made = golden("smollm2")
    checkpoint = factored(made, groups_of(read_model(made.checkpoint.config), added=added))
    names = {linear.weight.name for linear in recorded(read_model(checkpoint.config)).operations(Linear)}
    names -= {"model.embed_tokens.weight"}
    weights = {name: checkpoint.weight(name) for name in checkpoint.names}
    weights |= {name: encode_int8(weights[name], name=name) for name in names}
    encoded = MemoryCheckpoint(checkpoint.config, weights)
    native = NativeBackend.load(encoded, NativeConfig(kv_tokens=128, kv_dtype="float32"))
    interpreted = InterpreterBackend.load(encoded, InterpreterConfig(kv_tokens=128, kv_dtype="float32"))
    batch = whole(made.tokens)
    np.testing.assert_array_equal(native.forward(batch), interpreted.forward(batch))


def test_layers_of_one_input_share_a_product_and_stay_one_matmul_behind_it() -> None:
    made = golden("llama2")
    checkpoint = factored(made, GROUPS)
    linears = [linear.weight for linear in recorded(read_model(checkpoint.config)).operations(Linear)]
    assert [weight.name for weight in linears].count(GROUPS[0].inner) == 1
    matmuls = [one.operation for one in build_plan(read_model(checkpoint.config), checkpoint, "auto").fused]
    parts = [[part.weight.name for part in one.parts] for one in matmuls if isinstance(one, Matmul)]
    assert [GROUPS[0].outer(name) for name in (Q, K, V)] in parts
    gated = next(
        one for one in matmuls if isinstance(one, Matmul) and one.parts[0].weight.name == GROUPS[1].outer(GATE)
    )
    assert gated.epilogue == "gated_silu"
    last = next(one for one in matmuls if isinstance(one, Matmul) and one.parts[0].weight.name == GROUPS[2].outer(DOWN))
    assert last.epilogue == "add"


def test_a_bias_is_added_once_and_names_follow_those_of_the_layers() -> None:
    model = with_factors(
        read_model({**LLAMA, "attention_bias": True}), (FactorGroup((Q, K), 8), FactorGroup((OUT,), 4, added=True))
    )
    assert model.weights()["model.layers.0.self_attn.q_proj.factor_in.weight"].shape == (8, 48)
    assert model.weights()["model.layers.0.self_attn.k_proj.factor_out.weight"].shape == (24, 8)
    assert "model.layers.0.self_attn.k_proj.factor_in.weight" not in model.weights()
    assert Q not in model.weights()
    assert OUT in model.weights()
    biases = [linear.bias.name for linear in recorded(model).operations(Linear) if linear.bias is not None]
    assert len(biases) == len(set(biases)) == 8
    assert len(list(recorded(model).operations(Add))) == 5
    assert list_weights(model) == model.weights()


def test_an_encoder_with_factors() -> None:
    config = {**ENCODER_SIZES, "model_type": "bert"}
    plain = read_encoder(config)
    query, key = (f"encoder.layer.0.attention.self.{name}.weight" for name in ("query", "key"))
    config = {**config, FACTORS_FIELD: [{"weights": [query, key], "rank": 32}]}
    model = read_any(config)
    assert isinstance(model, FactoredEncoder)
    assert model == read_encoder(config) == with_factors(plain, (FactorGroup((query, key), 32),))
    assert (model.width, model.types, model.dimensions) == (plain.width, plain.types, plain.dimensions)
    assert without_factors(model) == plain
    assert set(main_graph(model).outputs) == set(main_graph(plain).outputs)
    assert key not in model.weights()


def test_a_config_without_factors_is_the_model_of_its_family() -> None:
    model = read_model(LLAMA)
    assert not isinstance(model, FactoredDecoder)
    assert without_factors(model) is model
    assert (factors_of(model), factors_json(())) == ((), {})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, r"honed_factors: .*must be a list of one object or more"),
        ([], r"honed_factors: .*must be a list of one object or more"),
        ([3], r"honed_factors: .*entry 0 must be an object"),
        ([{"rank": 3}], r"honed_factors\[0\].weights: is missing; must be a list of one name or more"),
        ([{"weights": [Q, 3], "rank": 3}], r"honed_factors\[0\].weights: .*must be a list of one name or more"),
        (
            [{"weights": ["a"], "rank": 3}],
            r"honed_factors\[0\].weights: .*a is neither the weight of a linear layer nor a table",
        ),
        (
            [{"weights": ["model.embed_tokens.weight"], "rank": 3}],
            r"model.embed_tokens.weight is neither the weight of a linear layer nor a table",
        ),
        (
            [{"weights": ["model.layers.0.input_layernorm.weight"], "rank": 3}],
            r"input_layernorm.weight is neither the weight of a linear layer nor a table",
        ),
        ([{"weights": [Q], "rank": 3}, {"weights": [Q], "rank": 3}], r"\[1\].weights: .*q_proj.weight has factors"),
        ([{"weights": [Q, DOWN], "rank": 3}], r"weights: .*they have 2 different numbers of inputs"),
        ([{"weights": [Q]}], r"honed_factors\[0\].rank: is missing; must be an integer from 1 to 48"),
        ([{"weights": [Q], "rank": 49}], r"honed_factors\[0\].rank: is 49, but must be an integer from 1 to 48"),
        ([{"weights": [Q], "rank": True}], r"honed_factors\[0\].rank: is True, but must be an integer"),
        ([{"weights": [Q], "rank": 3, "added": 1}], r"honed_factors\[0\].added: is 1, but must be true or false"),
        ([{"weights": [Q], "rank": 3, "what": 1}], r"honed_factors\[0\].what: is 1, but is not known here"),
    ],
)
def test_what_a_config_says_wrong_is_named(value: Any, message: str) -> None:
    config: Mapping[str, Any] = {**LLAMA, "tie_word_embeddings": True, FACTORS_FIELD: value}
    with pytest.raises(FormatError, match=message) as caught:
        read_model(config, "config.json")
    assert str(caught.value).startswith("config.json")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"weights": [TABLE, Q], "rank": 3}, r"weights: .*model.embed_tokens.weight is a table, and must be alone"),
        ({"weights": [TABLE], "rank": 49}, r"rank: is 49, but must be an integer from 1 to 48"),
        ({"weights": [TABLE], "rank": 3, "added": True}, r"added: is True, but must be false for a table"),
    ],
)
def test_what_a_config_says_wrong_of_a_table(value: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_model({**LLAMA, "tie_word_embeddings": False, FACTORS_FIELD: [value]})


@pytest.mark.parametrize("family", ["llama3", "gpt2_variants", "opt_variants"])
def test_a_table_of_narrower_rows_and_a_layer_behind_it(family: str) -> None:
    made = golden(family)
    model = read_model(made.checkpoint.config)
    table = find_linears(model).embedding
    group = FactorGroup((table.name,), table.shape[1])
    rotation = np.linalg.qr(np.random.default_rng(5).standard_normal((group.rank, group.rank)))[0]
    weights: dict[str, Encoded] = {name: made.checkpoint.weight(name) for name in made.checkpoint.names}
    weights[group.inner] = dense(weights.pop(table.name).decode().astype(np.float64) @ rotation)
    weights[group.outer(table.name)] = dense(rotation)
    checkpoint = MemoryCheckpoint({**made.checkpoint.config, **factors_json([group])}, weights)
    assert find_linears(read_model(checkpoint.config)).embedding.name == group.inner
    assert made.agrees(reference(checkpoint, made.tokens))
    interpreted = InterpreterBackend.load(checkpoint, InterpreterConfig(kv_tokens=128))
    assert made.agrees(interpreted.forward(whole(made.tokens)))
    native = NativeBackend.load(checkpoint, NativeConfig(kv_tokens=128, kv_dtype="float32"))
    assert made.agrees(native.forward(whole(made.tokens)))


def test_every_family_reads_factors() -> None:
    for family in FAMILIES:
        config = tiny_config(family)
        groups = groups_of(read_model(config), added=False)
        model = read_model({**config, **factors_json(groups)})
        assert factors_of(model) == groups, family
        assert not {name for group in groups for name in group.weights} & set(model.weights())
