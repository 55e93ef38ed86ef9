"""The table says of every group and candidate what the model with that group alone stored so loses."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from honed.compress.dense import to_dense
from honed.compress.divergence import Reference
from honed.compress.layer_groups import find_layer_groups
from honed.compress.layer_settings import Setting
from honed.compress.linears import HEAD
from honed.compress.sensitivity import Candidate, Sensitivity, measure_sensitivity, some_windows
from honed.compress.trial_walk import Progress, Trial, TrialWalk
from honed.compress.weights import SourceWeights
from honed.encodings.base import Encoded
from honed.encodings.encode import encode
from honed.encodings.scheme import DenseScheme
from honed.models.registry import read_model
from small_decoder import TABLE, WINDOWS, config, logits, random_weights


def setting(bits: int, group: int | None, **other: object) -> Setting:
    return Setting.model_validate({"weights": {"bits": bits, "group": group, **other}, "activations": {"group": group}})


CANDIDATES: list[Candidate] = [
    setting(8, 32),
    setting(4, 32, offset="zero_point", search=True),
    setting(4, 64, codebook="normal_float"),
    "dense",
]


def table(weights: dict[str, Encoded], *, head_apart: bool = True) -> Sensitivity:
    model = read_model(config())
    groups = [group for group in find_layer_groups(model) if head_apart or HEAD not in group.names]
    source = SourceWeights(model, weights.__getitem__, head_apart=head_apart)
    return measure_sensitivity(model, source, groups, CANDIDATES, WINDOWS, threads=1)


def test_it_is_what_the_model_loses_with_that_group_changed_alone() -> None:
    of, weights = config(), random_weights(config())
    found = table(weights)
    reference = Reference(logits(of, weights, WINDOWS))
    assert [group.names for group in found.groups] == [group.names for group in find_layer_groups(read_model(of))]
    for group, choices in zip(found.groups, found.choices, strict=True):
        assert len(choices) == len(CANDIDATES)
        for candidate, choice in zip(CANDIDATES, choices, strict=True):
            changed: dict[str, Encoded] = {}
            for name, scheme in choice.schemes.items():
                source = weights[TABLE if name == HEAD else name]
                if isinstance(scheme, DenseScheme):
                    changed[name] = to_dense(source, scheme)
                else:
                    assert candidate != "dense"
                    changed[name] = encode(source, scheme, name=name, search=candidate.weights.search)
            expected = reference.divergence(logits(of, {**weights, **changed}, WINDOWS), threads=1)
            assert choice.divergence == pytest.approx(expected, rel=2e-3, abs=1e-12), (group.label, choice.label)
            assert choice.bytes == sum(weight.nbytes for weight in changed.values())
    costs = np.array([[choice.divergence for choice in choices] for choices in found.choices])
    assert (costs[:, 1] > 3 * costs[:, 0]).all()
    assert (costs[:, 0] > 3 * costs[:, 3]).all()


def test_what_candidates_store_alike_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 inputs have no groups of 128."""
    tried: list[int] = []

    def divergences(walk: TrialWalk, trials: Sequence[Trial], progress: Progress | None) -> list[float]:
        tried.append(len(trials))
        return [float(number) for number in range(len(trials))]

    monkeypatch.setattr(TrialWalk, "divergences", divergences)
    model, weights = read_model(config()), random_weights(config())
    groups = find_layer_groups(model)[:2]
    found = measure_sensitivity(
        model, weights, groups, [setting(8, 64), setting(8, 128), setting(8, 32)], WINDOWS, threads=1
    )
    assert tried == [4]
    assert [[choice.divergence for choice in choices] for choices in found.choices] == [[0, 0, 1], [2, 2, 3]]


def test_the_file_has_every_figure() -> None:
    found = table(random_weights(config()), head_apart=False)
    chosen = [number % len(CANDIDATES) for number in range(len(found.groups))]
    read = json.loads(found.to_bytes(chosen))
    assert read["tokens"] == 5 * 24
    assert len(read["candidates"]) == len(CANDIDATES)
    assert [group["chosen"] for group in read["groups"]] == chosen
    for group, own, choices in zip(read["groups"], found.groups, found.choices, strict=True):
        assert group["layers"] == own.label
        assert [one["divergence"] for one in group["choices"]] == [choice.divergence for choice in choices]
        assert [one["scheme"] for one in group["choices"]] == [choice.label for choice in choices]
    assert "chosen" not in json.loads(found.to_bytes())["groups"][0]


def test_some_windows_lie_evenly() -> None:
    windows = [[number] * 10 for number in range(9)]
    assert some_windows(windows, 39) == [windows[0], windows[3], windows[6]]
    assert some_windows(windows, 1) == [windows[0]]
    assert some_windows(windows, 1000) == windows
