"""Layers are stored as the best choice within the budget has it, whatever rounds them; the table stands beside them."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest

from honed.backends.native_costs import Costs, Machine
from honed.compress.base import ModelState
from honed.compress.layer_groups import find_layer_groups
from honed.compress.linears import HEAD
from honed.compress.needs import Observed
from honed.compress.passes.mixed import PICTURE, TABLE, Mixed, MixedSettings
from honed.compress.pipeline import Compressed, run_recipe
from honed.compress.recipe import read_recipe
from honed.compress.weights import SourceWeights
from honed.encodings.scheme import Scheme
from honed.errors import ParameterError, UnsupportedError
from honed.models.registry import read_model
from small_decoder import WINDOWS, config, random_weights
from tiny_models import tiny_config

EIGHT: dict[str, Any] = {"weights": {"bits": 8, "group": 32}, "activations": {"group": 32}}
FOUR: dict[str, Any] = {"weights": {"bits": 4, "group": 32}, "activations": {"group": 32}}
CODES: dict[str, Any] = {
    "weights": {"bits": 4, "group": 64, "codebook": "normal_float"},
    "activations": {"group": 64},
}
NEAREST: dict[str, Any] = {"pass": "round_to_nearest", **EIGHT}


def mixed(budget: dict[str, Any], **other: Any) -> dict[str, Any]:
    return {"pass": "mixed", "candidates": [EIGHT, FOUR, CODES], "budget": budget, **other}


def compressed(*passes: dict[str, Any], of: dict[str, Any] | None = None) -> Compressed:
    of = config() if of is None else of
    model, weights = read_model(of), random_weights(of)
    state = ModelState(of, model, SourceWeights(model, weights.__getitem__))
    return run_recipe(state, read_recipe({"passes": list(passes)}), threads=1, calibration=WINDOWS)


def bits(schemes: dict[str, Scheme], of: dict[str, Any]) -> float:
    shapes = {name: weight.shape for name, weight in read_model(of).weights().items()}
    shapes[HEAD] = shapes["model.embed_tokens.weight"]
    return (
        8
        * sum(scheme.nbytes(shapes[name]) for name, scheme in schemes.items())
        / sum(int(np.prod(shapes[name])) for name in schemes)
    )


def test_the_choice_is_the_best_within_the_budget() -> None:
    """Of all that there are, by the table that is kept."""
    state = compressed(mixed({"bits": 6.0}), NEAREST).state
    table = json.loads(state.files[TABLE])
    weights = sum(group["shape"][0] * group["shape"][1] for group in table["groups"])
    best = min(
        sum(choice["divergence"] for choice in picked)
        for picked in itertools.product(*(group["choices"] for group in table["groups"]))
        if sum(choice["bytes"] for choice in picked) <= 6.0 * weights / 8
    )
    chosen = [group["choices"][group["chosen"]] for group in table["groups"]]
    assert sum(choice["divergence"] for choice in chosen) == pytest.approx(best)
    assert 5.0 < bits(dict(state.schemes), config()) <= 6.0
    groups = find_layer_groups(read_model(config()))
    for group, choice in zip(groups, chosen, strict=True):
        assert {str(state.schemes[name]) for name in group.names} == {choice["scheme"]}
    assert len({choice["scheme"] for choice in chosen}) > 1
    assert state.files[PICTURE].startswith(b"<svg")
    assert any("bits a weight" in told and TABLE in told for told in state.notes)


@pytest.mark.parametrize("rounding", ["round_to_nearest", "gptq"])
def test_whatever_encodes_stores_what_was_chosen(rounding: str) -> None:
    state = compressed(mixed({"bits": 6.0}), {"pass": rounding, **EIGHT}).state
    table = json.loads(state.files[TABLE])
    chosen = [group["choices"][group["chosen"]]["scheme"] for group in table["groups"]]
    for group, scheme in zip(find_layer_groups(state.model), chosen, strict=True):
        for name in group.names:
            assert str(state.schemes[name]) == scheme
            found = state.weights[name]
            assert str(found.scheme) == scheme  # type: ignore[attr-defined]


def test_the_budget_in_bytes() -> None:
    whole = compressed(mixed({"bits": 8.5}), NEAREST).state
    assert {str(scheme) for scheme in whole.schemes.values()} == {"int8 group 32, activations in groups of 32"}
    table = json.loads(whole.files[TABLE])
    most = sum(group["choices"][0]["bytes"] for group in table["groups"])
    state = compressed(mixed({"bytes": most - 1}), NEAREST).state
    assert {str(scheme) for scheme in state.schemes.values()} != {str(scheme) for scheme in whole.schemes.values()}


@pytest.mark.parametrize(("name", "asked_rows"), [("decode_us", 1), ("prefill_us", 512)])
def test_a_budget_in_time_goes_by_the_cost_table(name: str, asked_rows: int) -> None:
    """Here four bits take no less than eight where the rows are few: the codes are then the one way to be fast."""
    of = config()
    model, weights = read_model(of), random_weights(of)
    machine = Machine("a processor", (), "avx2", 1, "1", "0")
    asked: set[tuple[int, int]] = set()

    def measure(shape: tuple[int, int], form: Any, rows: int) -> float:
        assert rows == asked_rows
        asked.add(shape)
        return shape[0] * shape[1] * {"int8": 2, "int4": 2, "codebook": 1}[form.name] * 1e-9

    settings = MixedSettings.model_validate_json(json.dumps(mixed({name: 120.0})))
    step = Mixed(settings, lambda: Costs(machine, measure, None))
    state = ModelState(of, model, SourceWeights(model, weights.__getitem__))
    found = step.apply(state, Observed(frozenset(), lambda: None, WINDOWS), threads=1)  # type: ignore[arg-type, return-value]
    table = json.loads(found.files[TABLE])
    time = sum(
        group["shape"][0] * group["shape"][1] * (1 if "codebook" in group["choices"][group["chosen"]]["scheme"] else 2)
        for group in table["groups"]
    )
    assert time <= 120_000
    assert {group["chosen"] for group in table["groups"]} == {0, 2}
    assert (128, 64) in asked  # q, k and v as one matrix


def test_what_the_recipe_overrides_goes_before_it() -> None:
    overrides = [{"modules": "*.down_proj", "setting": "dense"}]
    state = compressed(mixed({"bits": 5.0}), {**NEAREST, "overrides": overrides}).state
    assert not any("down_proj" in name for name in state.schemes)


def test_only_modules_that_match_are_chosen_for() -> None:
    state = compressed(mixed({"bits": 4.5}, modules="*.mlp.*"), NEAREST).state
    assert all("mlp" in group["layers"] for group in json.loads(state.files[TABLE])["groups"])
    assert {str(scheme)[:4] for name, scheme in state.schemes.items() if "mlp" not in name} == {"int8"}
    assert {str(scheme)[:4] for name, scheme in state.schemes.items() if "mlp" in name} != {"int8"}


def test_dense_is_a_candidate() -> None:
    step = {"pass": "mixed", "candidates": ["dense", FOUR], "budget": {"bits": 10}}
    state = compressed(step, NEAREST).state
    table = json.loads(state.files[TABLE])
    dense = {group["layers"] for group in table["groups"] if group["chosen"] == 0}
    stored = {group.label for group in find_layer_groups(state.model) if group.names[0] in state.schemes}
    assert dense
    assert stored == {group["layers"] for group in table["groups"]} - dense


@pytest.mark.parametrize(
    ("budget", "problem"),
    [
        ({}, "exactly one"),
        ({"bits": 4.5, "bytes": 100}, "not bits, bytes"),
        ({"bits": 0}, "greater than 0"),
        ({"bits": 3.0}, "at least 4.3"),
        ({"bytes": 10}, "at least"),
    ],
)
def test_budgets_that_make_no_sense_are_refused(budget: dict[str, Any], problem: str) -> None:
    with pytest.raises(ParameterError, match=problem):
        compressed(mixed(budget), NEAREST)


def test_a_choice_that_nothing_stores_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"mixed needs .* behind it"):
        read_recipe({"passes": [mixed({"bits": 6})]})


def test_no_module_that_matches_is_refused() -> None:
    with pytest.raises(ParameterError, match="matches no group"):
        compressed(mixed({"bits": 6}, modules="*.nothing"), NEAREST)


def test_time_of_experts_is_refused() -> None:
    of = tiny_config("mixtral")
    model = read_model(of)
    weights = random_weights(of)
    settings = MixedSettings.model_validate_json(json.dumps(mixed({"decode_us": 60.0})))
    state = ModelState(of, model, SourceWeights(model, weights.__getitem__))
    observed = Observed(frozenset(), lambda: None, WINDOWS)  # type: ignore[arg-type, return-value]
    with pytest.raises(UnsupportedError, match="experts"):
        Mixed(settings).apply(state, observed, threads=1)
