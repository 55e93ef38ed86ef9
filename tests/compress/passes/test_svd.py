"""What is factored, with which ranks, and that the factors are those of what enters each layer; how a matrix is
decomposed is tested with `low_rank.py`, how ranks are chosen with `rank_budget.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from honed.backends.native_costs import Costs, Machine, Shape
from honed.compress.base import ModelState
from honed.compress.linears import HEAD, find_linears
from honed.compress.low_rank import low_rank
from honed.compress.needs import InputStatistics, Observed
from honed.compress.observe import observe
from honed.compress.passes.svd import Svd, SvdSettings
from honed.compress.pipeline import Compressed, run_recipe
from honed.compress.recipe import read_recipe
from honed.compress.weights import SourceWeights
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.encodings.descriptor import Format
from honed.encodings.scheme import Int8Scheme
from honed.errors import ParameterError
from honed.models.base import DecoderModel
from honed.models.factored import FactorGroup, factors_of
from honed.models.registry import read_model

WINDOWS = [[int(token) for token in row] for row in np.random.default_rng(9).integers(3, 90, (12, 24))]
INT8 = {"pass": "round_to_nearest", "weights": {"bits": 8, "group": 32}, "activations": {"group": 32}}
TABLE = "model.embed_tokens.weight"
QKV = tuple(f"model.layers.0.self_attn.{part}_proj.weight" for part in "qkv")
GATE, UP, DOWN = (f"model.layers.1.mlp.{part}_proj.weight" for part in ("gate", "up", "down"))


def model(*, tied: bool = True) -> DecoderModel:
    return read_model(
        {
            "model_type": "llama",
            "vocab_size": 97,
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 64,
            "tie_word_embeddings": tied,
        }
    )


class Source:
    """Random weights, and which were asked for."""

    def __init__(self, of: DecoderModel) -> None:
        random = np.random.default_rng(2)
        self.weights = {
            name: Dense((random.standard_normal(weight.shape) / 8).astype(np.float32), "float32")
            for name, weight in of.weights().items()
        }
        self.looked_up: list[str] = []

    def __call__(self, name: str) -> Encoded:
        self.looked_up.append(name)
        return self.weights[name]


def compressed(of: DecoderModel, read: Source, *behind: Any, **settings: Any) -> Compressed:
    recipe = read_recipe({"passes": [{"pass": "svd", **settings}, *behind]})
    return run_recipe(ModelState({}, of, SourceWeights(of, read)), recipe, threads=1, calibration=WINDOWS)


def groups(found: Compressed) -> dict[tuple[str, ...], int]:
    return {group.weights: group.rank for group in factors_of(found.state.model)}


def test_layers_of_one_input_have_the_factors_of_their_decomposition() -> None:
    decoder = model()
    source = Source(decoder)
    found = compressed(decoder, source, share=0.4)
    assert groups(found)[QKV] == 32
    assert groups(found)[GATE, UP] == groups(found)[(DOWN,)] == 32
    # Of the first block, whose inputs nothing has changed.
    grams = observe(decoder, source.weights, WINDOWS, {"gram"}, threads=1).gram
    for names in (QKV, ("model.layers.0.self_attn.o_proj.weight",)):
        group = FactorGroup(names, 32)
        stacked = np.concatenate([source.weights[name].decode() for name in names])
        outer, inner = low_rank(stacked, grams[names[0]], damping=0.01).factors(32)
        parts = [found.state.weights[group.outer(name)].decode() for name in names]
        product = np.concatenate(parts) @ found.state.weights[group.inner].decode()
        np.testing.assert_allclose(product, outer @ inner, atol=2e-6)
    total = sum(weight.shape[0] * weight.shape[1] for weight in find_linears(decoder).layers)
    kept = sum(weight.shape[0] * weight.shape[1] for weight in find_linears(found.state.model).layers)
    assert kept <= 0.6 * total
    assert found.state.notes == (
        f"svd: 14 of 14 linear layers are products of two; {kept / 1e6:.1f} of {total / 1e6:.1f} million parameters "
        "of them are kept",
    )


def test_a_layer_is_factored_for_what_the_layers_before_it_have_become() -> None:
    decoder = model()
    source = Source(decoder)
    weights = compressed(decoder, source, share=0.4).state.weights
    changed = dict(source.weights)
    for names in (*(group for group in groups(compressed(decoder, source, share=0.4)) if "layers.0." in group[0]),):
        group = FactorGroup(names, 32)
        for name in names:
            product = weights[group.outer(name)].decode() @ weights[group.inner].decode()
            changed[name] = Dense(product, "float32")

    def error(gram: NDArray[np.float64]) -> float:
        """Of the outputs of gate and up of the second layer, over the least that rank 32 allows."""
        group = FactorGroup((GATE, UP), 32)
        stacked = np.concatenate([source.weights[name].decode() for name in (GATE, UP)])
        outer = np.concatenate([weights[group.outer(name)].decode() for name in (GATE, UP)])
        difference = stacked - outer @ weights[group.inner].decode()
        best = stacked - np.matmul(*low_rank(stacked, gram, damping=0.01).factors(32))
        return float(np.trace(difference @ gram @ difference.T) / np.trace(best @ gram @ best.T))

    after, before = (
        observe(decoder, each, WINDOWS, {"gram"}, threads=1).gram[GATE] for each in (changed, source.weights)
    )
    assert error(after) < error(before)


def test_each_layer_may_have_a_first_factor_of_its_own_and_ranks_are_multiples() -> None:
    own = groups(compressed(model(), Source(model()), share=0.3, first="own"))
    assert own[(GATE,)] == own[(UP,)] == own[(DOWN,)] == 32
    assert own[(QKV[0],)] == 32
    assert groups(compressed(model(), Source(model()), share=0.3))[GATE, UP] == 64
    wide = groups(compressed(model(), Source(model()), share=0.3, multiple=64))
    assert set(wide.values()) == {64}
    assert (DOWN,) not in wide


def test_ranks_by_energy_spend_the_same_budget_where_it_counts() -> None:
    decoder = model()
    source = Source(decoder)
    # A layer that is of rank 20 loses nothing at rank 32.
    random = np.random.default_rng(4)
    low = random.standard_normal((128, 20)) @ random.standard_normal((20, 256))
    source.weights[DOWN] = Dense(low.astype(np.float32), "float32")
    found = compressed(decoder, source, share=0.1, ranks="energy")
    assert groups(found)[(DOWN,)] == 32
    total = sum(weight.shape[0] * weight.shape[1] for weight in find_linears(decoder).layers)
    assert sum(weight.shape[0] * weight.shape[1] for weight in find_linears(found.state.model).layers) <= 0.9 * total
    assert len(groups(found)) < 8


def test_planning_even_ranks_looks_up_no_layer() -> None:
    decoder = model()
    source = Source(decoder)
    state = compressed(decoder, source, {"pass": "smooth"}, INT8, share=0.3).state
    assert set(source.looked_up) == {TABLE}  # which the scheme of the head goes by
    assert state.schemes[FactorGroup((DOWN,), 64).inner] == Int8Scheme(32, 32)
    assert state.weights[FactorGroup((DOWN,), 64).inner].kind == "int8"


@pytest.mark.parametrize("behind", ["round_to_nearest", "gptq"])
def test_both_factors_are_encoded_behind_it(behind: str) -> None:
    found = compressed(model(), Source(model()), {**INT8, "pass": behind}, share=0.3)
    assert set(found.state.schemes) == {HEAD, *(weight.name for weight in find_linears(found.state.model).layers)}
    for name in found.state.schemes:
        weight = found.state.weights[name]
        assert weight.kind == "int8"
        full = found.in_full(name).decode()
        assert np.linalg.norm(weight.decode() - full) < 0.05 * np.linalg.norm(full)


def test_only_the_layers_that_are_named_and_a_head_that_is_not_tied() -> None:
    named = groups(compressed(model(), Source(model()), share=0.3, modules=["*.mlp.*"]))
    assert {name.split(".")[3] for names in named for name in names} == {"mlp"}
    untied = model(tied=False)
    with_head = compressed(untied, Source(untied), INT8, share=0.3, modules=["lm_head"])
    assert groups(with_head) == {("lm_head.weight",): 32}
    linears = find_linears(with_head.state.model)
    assert linears.head is not None
    assert linears.head.name == "lm_head.factor_out.weight"
    assert "lm_head.factor_in.weight" in {weight.name for weight in linears.layers}
    assert {linears.head.name, "lm_head.factor_in.weight"} <= set(with_head.state.schemes)
    for of in (untied, model()):
        assert not any("head" in name for names in groups(compressed(of, Source(of), share=0.3)) for name in names)
    tied = compressed(model(), Source(model()), share=0.3, modules=["lm_head"])
    assert groups(tied) == {}
    assert tied.state.notes == ("svd: no layer is faster as two products; all stay as they are",)


def test_a_table_that_is_named_becomes_narrower_and_what_looks_it_up_knows_no_inputs() -> None:
    untied = model(tied=False)
    source = Source(untied)
    found = compressed(untied, source, share=0.3, modules=["*embed_tokens"])
    group = FactorGroup((TABLE,), 32)
    assert factors_of(found.state.model) == (group,)
    table, behind = found.state.weights[group.inner].decode(), found.state.weights[group.outer(TABLE)].decode()
    assert (table.shape, behind.shape) == ((97, 32), (128, 32))
    outer, inner = low_rank(source.weights[TABLE].decode(), None, damping=0.01).factors(32)
    np.testing.assert_array_equal(table, outer)
    np.testing.assert_array_equal(behind.T, inner)
    assert find_linears(found.state.model).embedding.name == group.inner
    everything = compressed(untied, Source(untied), share=0.3)
    assert not any(TABLE in names for names in groups(everything))
    assert groups(compressed(model(), Source(model()), share=0.3, modules=["*embed_tokens"])) == {}


def test_a_second_pass_leaves_factors_alone() -> None:
    once = compressed(model(), Source(model()), share=0.3, modules=["*.mlp.*"])
    both = compressed(model(), Source(model()), {"pass": "svd", "share": 0.3}, share=0.3, modules=["*.mlp.*"])
    assert groups(once).items() <= groups(both).items()
    assert {name.split(".")[3] for names in groups(both) for name in names} == {"mlp", "self_attn"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"share": 0}, r"passes\[0\].share = 0: .*greater than 0"),
        ({"share": 1}, r"passes\[0\].share = 1: .*less than 1"),
        ({"ranks": "all"}, r"passes\[0\].ranks = 'all': .*'even' or 'energy'"),
        ({"modules": []}, r"passes\[0\].modules"),
        ({"multiple": 48}, r"passes\[0\].multiple = 48"),
        ({"shares": 0.2}, r"unknown key; did you mean 'share'"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        read_recipe({"passes": [{"pass": "svd", **settings}]})


INT8_FORM = {"weights": {"bits": 8, "group": 32}, "activations": {"group": 32}}


def timed(seconds: Callable[[Shape], float], **settings: Any) -> tuple[dict[tuple[str, ...], int], list[Shape]]:
    """The ranks of groups where layers take so long, and which shapes were timed."""
    asked: list[Shape] = []

    def measure(shape: Shape, form: Format, rows: int) -> float:
        asked.append(shape)
        assert rows == 16
        return seconds(shape)

    costs = Costs(Machine("cpu", (), "portable", 1, "0", "0"), measure, None)
    chosen = SvdSettings.model_validate({"pass": "svd", "timed": INT8_FORM, "rows": 16, "share": 0.3, **settings})
    decoder = model()
    state = ModelState({}, decoder, SourceWeights(decoder, Source(decoder)))

    def inputs() -> InputStatistics:
        raise AssertionError("nothing is to be observed yet")

    svd = Svd(chosen, lambda: costs)
    made = svd.finish(svd.apply(state, Observed(frozenset(), inputs), threads=1))
    return {group.weights: group.rank for group in factors_of(made.model)}, asked


def test_a_layer_stays_where_its_two_products_were_measured_to_be_slower() -> None:
    found, asked = timed(lambda shape: 1.0 if shape == (128, 256) else 0.4)
    assert found == {(f"model.layers.{layer}.mlp.down_proj.weight",): 32 for layer in (0, 1)}
    assert (128, 256) in asked
    assert (64, 256) in asked  # the first factor of a rank that was tried


def test_the_largest_rank_that_is_faster_is_found_where_more_ranks_are_slower() -> None:
    """A time for each product and one for each value: ranks over 40 would take longer than the layer."""
    by_parameters, _ = timed(lambda shape: shape[0] * shape[1] / 1e6, share=0.1)
    assert by_parameters[(DOWN,)] == 64
    with_start, _ = timed(lambda shape: 1e-2 + shape[0] * shape[1] / 1e6, share=0.1)
    assert with_start[(DOWN,)] == 32
