"""A trial's divergence is that of the engine's logits with its weights in place; how many go together is no matter."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from honed.compress import trial_walk
from honed.compress.divergence import Reference
from honed.compress.layer_groups import find_layer_groups
from honed.compress.linears import HEAD
from honed.compress.trial_walk import Trial, TrialWalk
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.encodings.encode import encode
from honed.encodings.scheme import Int4Scheme, Int8Scheme, Scheme
from honed.errors import ParameterError, UnsupportedError
from honed.models.registry import read_model
from small_decoder import TABLE, WINDOWS, config, logits, random_weights
from tiny_encoder import TinyEncoder
from unknown_op import odd_model

SCHEMES: list[Scheme] = [Int4Scheme(32, "symmetric", 32), Int8Scheme(32, 32), Int8Scheme(None, None)]
GELU: dict[str, Any] = {"hidden_activation": "gelu_pytorch_tanh"}
VARIANTS = {
    "tied": config(),
    "untied": config(tied=False),
    "biases": config(attention_bias=True, mlp_bias=True),
    "sandwich": config(model_type="gemma2", head_dim=16, sliding_window=8, query_pre_attn_scalar=16, **GELU),
}


def trials_of(of: dict[str, Any], weights: dict[str, Encoded]) -> list[tuple[Trial, dict[str, Encoded]]]:
    """One of every group, by turns in each of the schemes."""
    found = []
    for number, group in enumerate(find_layer_groups(read_model(of))):
        scheme = SCHEMES[number % len(SCHEMES)]
        sources = {name: weights[TABLE if name == HEAD and HEAD not in weights else name] for name in group.names}
        made: dict[str, Encoded] = {name: encode(weight, scheme, name=name) for name, weight in sources.items()}
        found.append((Trial(group.block, partial(dict, made)), made))
    return found


def directly(of: dict[str, Any], weights: dict[str, Encoded], changed: dict[str, Encoded]) -> float:
    return Reference(logits(of, weights, WINDOWS)).divergence(logits(of, {**weights, **changed}, WINDOWS), threads=1)


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_a_trial_is_the_model_with_its_weights_in_place(variant: str) -> None:
    of = VARIANTS[variant]
    weights = random_weights(of)
    trials = trials_of(of, weights)
    found = TrialWalk(read_model(of), weights, WINDOWS, threads=1).divergences([trial for trial, _ in trials])
    expected = [directly(of, weights, made) for _, made in trials]
    assert min(expected) > 1e-7
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_a_head_apart_from_its_table_is_the_one_that_counts() -> None:
    """Once smoothed it fits the norm before it, and the table does not."""
    of = config()
    weights = random_weights(of)
    factors = np.exp2(np.arange(64) % 5 - 2).astype(np.float32)
    norm = weights["model.norm.weight"].decode() / factors
    smoothed = {
        **weights,
        "model.norm.weight": Dense(norm, "float32"),
        HEAD: Dense(weights[TABLE].decode() * factors, "float32"),
    }
    trials = [trial for trial, _ in trials_of(of, weights)][:-1]
    plain, apart = (
        TrialWalk(read_model(of), given, WINDOWS, threads=1).divergences(trials) for given in (weights, smoothed)
    )
    np.testing.assert_allclose(apart, plain, rtol=1e-6)
    head = encode(smoothed[HEAD], Int8Scheme(32, 32), name=HEAD)
    walk = TrialWalk(read_model(of), smoothed, WINDOWS, threads=1)
    (found,) = walk.divergences([Trial(find_layer_groups(read_model(of))[-1].block, lambda: {HEAD: head})])
    assert found == pytest.approx(directly(of, smoothed, {HEAD: head}), rel=1e-3)


def test_trials_that_take_turns_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    of = config()
    weights = random_weights(of)
    trials = [trial for trial, _ in trials_of(of, weights)]
    told: list[tuple[int, int]] = []
    together = TrialWalk(read_model(of), weights, WINDOWS, threads=1).divergences(trials, lambda *now: told.append(now))
    assert told[-1][0] == told[-1][1]
    assert told == sorted(told)
    monkeypatch.setattr(trial_walk, "HELD_BYTES", 1)
    assert TrialWalk(read_model(of), weights, WINDOWS, threads=2).divergences(trials) == together
    assert TrialWalk(read_model(of), weights, WINDOWS, threads=1).divergences(trials[::-1]) == together[::-1]


def test_of_many_logits_some_rows_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    of = config()
    weights = random_weights(of)
    (trial, made), *_ = trials_of(of, weights)
    monkeypatch.setattr(trial_walk, "MOST_LOGITS", 30 * 61)
    (found,) = TrialWalk(read_model(of), weights, WINDOWS, threads=1).divergences([trial])
    kept = np.arange(30) * 4
    both = (logits(of, given, WINDOWS)[kept] for given in (weights, {**weights, **made}))
    assert found == pytest.approx(Reference(next(both)).divergence(next(both), threads=1), rel=1e-3)


@pytest.mark.parametrize("windows", [[], [[]], [[1, 2], [3]], [[1, -1]], [[1, 10**6]]])
def test_bad_windows_are_refused(windows: list[list[int]]) -> None:
    with pytest.raises(ParameterError, match="calibration"):
        TrialWalk(read_model(config()), {}, windows, threads=1)


def test_a_model_without_logits_is_refused() -> None:
    model = TinyEncoder()
    with pytest.raises(UnsupportedError, match="logits"):
        TrialWalk(model, {}, WINDOWS, threads=1)


def test_an_op_that_the_engine_does_not_run_is_named() -> None:
    with pytest.raises(UnsupportedError, match="Unknown"):
        TrialWalk(odd_model(), {}, [[1, 2]], threads=1)
