"""Layers with one input share a learned table, and no others do."""

from __future__ import annotations

import numpy as np

from honed.compress.layer_schemes import LayerScheme
from honed.compress.linears import HEAD
from honed.compress.shared_tables import SharedTables
from honed.encodings.base import Encoded
from honed.encodings.codebook import TABLES
from honed.encodings.codebook_fit import fit_table
from honed.encodings.dense import Dense
from honed.encodings.scheme import CodebookScheme, Int8Scheme
from honed.models.registry import read_model
from tiny_models import EXPERTS, SIZES

LEARNED = CodebookScheme(32, None, 32)
LAYER = "model.layers.1"
Q, K, V, OUT = (f"{LAYER}.self_attn.{name}_proj.weight" for name in "qkvo")
WIDE = {**SIZES, "hidden_size": 64, "intermediate_size": 96}


def tables(config: dict[str, object], changed: dict[str, LayerScheme] | None = None) -> SharedTables:
    model = read_model({**WIDE, **config})
    random = np.random.default_rng(1)
    weights: dict[str, Encoded] = {
        name: Dense((random.standard_t(4, weight.shape) * (1 + number)).astype(np.float32), "float32")
        for number, (name, weight) in enumerate(model.weights().items())
    }
    weights[HEAD] = weights["model.embed_tokens.weight"]
    schemes: dict[str, LayerScheme] = {name: LEARNED for name in weights if name.endswith("_proj.weight")}
    return SharedTables(model, weights, {**schemes, HEAD: LEARNED, **(changed or {})})


def test_q_k_and_v_share_one_and_so_do_gate_and_up() -> None:
    found = tables({"model_type": "llama"})
    schemes = {name: found.scheme(name, None) for name in found.schemes}
    assert schemes[Q] == schemes[K] == schemes[V]
    assert schemes[f"{LAYER}.mlp.gate_proj.weight"] == schemes[f"{LAYER}.mlp.up_proj.weight"]
    assert len({str(scheme) for scheme in schemes.values()}) == 9  # four a layer, and the head
    table = fit_table([found.weights[name] for name in (Q, K, V)], 32, name="qkv")
    assert schemes[Q] == CodebookScheme(32, table, 32)


def test_who_has_another_scheme_is_left_out() -> None:
    found = tables({"model_type": "llama"}, {V: Int8Scheme(32), K: CodebookScheme(64, None)})
    table = fit_table([found.weights[Q]], 32, name="q")
    assert found.scheme(Q, None) == CodebookScheme(32, table, 32)
    assert found.scheme(V, None) == Int8Scheme(32)
    named = CodebookScheme(32, TABLES["linear"], 32)
    assert tables({"model_type": "llama"}, {OUT: named}).scheme(OUT, None) is named


def test_importance_reaches_the_fit() -> None:
    importance = np.linspace(0.01, 3, 64)
    plain, counted = (tables({"model_type": "llama"}).scheme(Q, each) for each in (None, importance))
    assert plain != counted


def test_gate_and_up_of_an_expert_share_one_and_experts_do_not() -> None:
    found = tables({"model_type": "qwen3_moe", **EXPERTS, "moe_intermediate_size": 32, "head_dim": 16})
    expert = f"{LAYER}.mlp.experts"
    gate, up, other = (found.scheme(f"{expert}.{name}_proj.weight", None) for name in ("0.gate", "0.up", "1.gate"))
    assert gate == up != other
