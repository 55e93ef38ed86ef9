"""Which weights a pass prunes, that nothing is made before it is asked for, and that what is not as asked fails."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from honed.compress.base import ModelState
from honed.compress.linears import HEAD, all_linears
from honed.compress.masks import Mask
from honed.compress.needs import InputStatistics, Observed
from honed.compress.passes.wanda import WandaSettings
from honed.compress.pruned import Choose, Masked, Remaining, prune
from honed.compress.weights import SourceWeights
from honed.encodings.dense import Dense
from honed.errors import HonedError, ParameterError, UnsupportedError
from sparse_models import Source, compressed, decoder, zeros

UP = "model.layers.0.mlp.up_proj.weight"


def settings(**given: object) -> WandaSettings:
    return WandaSettings.model_validate_json(json.dumps({"pass": "wanda", **given}))


def state(source: Source, *, tied: bool = True, head_apart: bool = True) -> ModelState:
    model = decoder(tied=tied)
    return ModelState({}, model, SourceWeights(model, source, head_apart=head_apart))


def told(of: ModelState) -> Observed:
    return Observed(all_linears(of.model), lambda: InputStatistics({}, {}, 0))


def pruned(given: ModelState, choose: Choose, **how: object) -> ModelState:
    return prune(given, settings(**how), told(given), choose)


def half(measured: str, values: NDArray[np.float32], share: float) -> Mask:
    chosen: Mask = np.arange(values.size).reshape(values.shape) % 2 == 0
    return chosen


def test_linear_layers_are_pruned_and_nothing_is_decoded_before() -> None:
    source = Source(decoder())
    after = pruned(state(source), half)
    found = {name: after.weights[name] for name in after.weights}
    assert source.decoded == []
    changed = {name for name, weight in found.items() if zeros(weight) == 0.5}
    assert changed == {name for name in found if name.endswith("_proj.weight")}
    assert found[HEAD] is source.weights["model.embed_tokens.weight"]
    np.testing.assert_array_equal(found[UP].decode()[:, 1::2], source.weights[UP].decode()[:, 1::2])


def test_the_head_is_pruned_where_it_is_named_by_what_enters_the_table() -> None:
    seen: list[str] = []

    def choose(measured: str, values: NDArray[np.float32], share: float) -> Mask:
        seen.append(measured)
        return half(measured, values, share)

    overrides = [{"modules": "lm_head", "share": 0.5}, {"modules": "*", "share": 0.0}]
    after = pruned(state(Source(decoder())), choose, overrides=overrides)
    assert zeros(after.weights[HEAD]) == 0.5
    assert seen == ["model.embed_tokens.weight"]
    assert zeros(after.weights["model.embed_tokens.weight"]) == 0
    assert zeros(after.weights[UP]) == 0
    with pytest.raises(ParameterError, match=r"share of lm_head = 0.5: must be 0"):
        pruned(state(Source(decoder()), head_apart=False), choose, overrides=overrides)


def test_rows_that_are_no_whole_runs_are_refused_before_a_weight_is_read() -> None:
    source = Source(decoder())
    with pytest.raises(ParameterError, match=r"pattern = '2:24': .*q_proj.weight has 64 inputs, no multiple of 24"):
        pruned(state(source), half, pattern="2:24")
    assert source.decoded == []


def test_what_is_less_sparse_than_asked_or_not_finite_fails() -> None:
    def too_few(measured: str, values: NDArray[np.float32], share: float) -> Mask:
        chosen: Mask = np.arange(values.size).reshape(values.shape) % 3 == 0
        return chosen

    def infinite(measured: str, values: NDArray[np.float32], share: float) -> Remaining:
        chosen = half(measured, values, share)
        return Remaining.of(np.where(chosen, values, np.float32(np.inf)), chosen)

    def in_one_place(measured: str, values: NDArray[np.float32], share: float) -> Mask:
        chosen: Mask = np.arange(values.shape[1]) % 8 + np.zeros((len(values), 1)) >= 4
        return chosen

    with pytest.raises(HonedError, match=rf"{UP}: wanda made 0\.33\d* of it zero instead of 0\.5"):
        pruned(state(Source(decoder())), too_few).weights[UP].decode()
    with pytest.raises(HonedError, match="not finite"):
        pruned(state(Source(decoder())), infinite).weights[UP].decode()
    with pytest.raises(HonedError, match="left 4 of 4 inputs instead of 2"):
        pruned(state(Source(decoder())), in_one_place, pattern="2:4").weights[UP].decode()


def test_a_source_that_is_not_finite_is_named() -> None:
    source = Source(decoder())
    values = source.weights[UP].decode().copy()
    values[3, 4] = np.nan
    source.weights[UP] = Dense(values, "float32")
    with pytest.raises(UnsupportedError, match=f"{UP}: holds NaN"):
        pruned(state(source), half).weights[UP].decode()


@pytest.mark.parametrize("rows", [slice(None), slice(2, 5), slice(7, 7), slice(0, 1)])
def test_rows_of_what_is_left(rows: slice) -> None:
    random = np.random.default_rng(0)
    values = random.standard_normal((9, 21)).astype(np.float32)
    chosen = random.random((9, 21)) < 0.7
    expected = np.where(chosen, np.float32(0), values)[rows]
    np.testing.assert_array_equal(Remaining.of(values, chosen).decode(rows), expected)
    np.testing.assert_array_equal(Masked.without(Dense(values, "float32"), chosen).decode(rows), expected)


def test_rounding_keeps_what_is_zero() -> None:
    passes = {"pass": "magnitude", "share": 0.6}
    model, source = decoder(), Source(decoder())
    before = compressed(model, source, passes).state.weights[UP].decode()
    kinds = [
        {"bits": 8, "group": None},
        {"bits": 8, "group": 32},
        {"bits": 4, "group": 32, "offset": "symmetric", "search": True},
        {"bits": 4, "group": 32, "offset": "zero_point", "search": True},
        {"bits": 4, "group": 32, "codebook": "normal_float", "search": True},
        {"bits": 4, "group": 32, "codebook": "power_of_two"},
    ]
    for weights in kinds:
        rounding = {"pass": "round_to_nearest", "weights": weights}
        rounded = compressed(model, source, passes, rounding).state.weights[UP].decode()
        assert (rounded[before == 0] == 0).all(), weights
        assert (rounded[before != 0] != 0).mean() > 0.5, weights
