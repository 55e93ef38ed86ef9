from __future__ import annotations

import copy
import dataclasses
import math
import pickle

import numpy as np
import pytest

from honed.errors import ParameterError
from honed.runtime.request import Sampling


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1), ("temperature", 2.1), ("temperature", math.nan), ("temperature", "1"),
        ("temperature", 10**400), ("top_k", -1), ("top_k", 1.5), ("top_k", True), ("top_k", 2**63), ("top_p", 0),
        ("top_p", 1.1), ("top_p", None), ("min_p", -1), ("min_p", math.inf), ("repetition_penalty", 0),
        ("repetition_penalty", 11), ("repetition_penalty", [1]), ("seed", -1), ("seed", 2**64), ("seed", 0.5),
        ("presence_penalty", 2.1), ("presence_penalty", math.nan), ("frequency_penalty", -2.1), ("dry_multiplier", -1),
        ("dry_multiplier", math.inf), ("dry_base", 0.9), ("dry_allowed_length", 0), ("dry_range", -1),
        ("dry_breakers", 3), ("dry_breakers", "13"), ("dry_breakers", [-1]), ("dry_breakers", [2**31]),
        ("logit_bias", 3), ("logit_bias", "12"), ("logit_bias", [1]), ("logit_bias", [(1, 2, 3)]),
        ("logit_bias", ["12"]), ("logit_bias", {1: 100.5}), ("logit_bias", {-1: 1}), ("logit_bias", {"a": 1}),
        ("logit_bias", [(1, 2), (1, 3)]), ("logprobs", -1), ("logprobs", 21), ("logprobs", True),
    ],
)  # fmt: skip
def test_each_setting_is_checked_by_name(name: str, value: object) -> None:
    with pytest.raises(ParameterError, match=f"^{name} = ") as caught:
        Sampling(**{name: value})  # type: ignore[arg-type]
    assert caught.value.parameter == name


def test_numbers_of_numpy_become_numbers_of_python() -> None:
    sampling = Sampling(temperature=np.float32(0.5), top_k=np.int32(4), seed=np.uint64(2**64 - 1))  # type: ignore[arg-type]
    assert sampling == Sampling(temperature=0.5, top_k=4, seed=2**64 - 1)
    assert [type(value) for value in (sampling.temperature, sampling.top_k, sampling.seed)] == [float, int, int]


def test_wrong_names_are_answered() -> None:
    with pytest.raises(ParameterError, match="is called repetition_penalty here"):
        Sampling(repeat_penalty=1.1)  # type: ignore[call-arg]


def test_it_is_a_value() -> None:
    sampling = Sampling(temperature=0.5, seed=3)
    assert dataclasses.replace(sampling, seed=4) == Sampling(temperature=0.5, seed=4)
    assert copy.copy(sampling) == pickle.loads(pickle.dumps(sampling)) == sampling


def test_lists_and_objects_become_tuples() -> None:
    sampling = Sampling(logit_bias={3: 1, 5: -2.5}, dry_breakers=[np.int64(4), 2])  # type: ignore[arg-type]
    assert sampling.logit_bias == ((3, 1.0), (5, -2.5))
    assert sampling.dry_breakers == (4, 2)
    assert sampling == Sampling(logit_bias=[[3, 1], [5, -2.5]], dry_breakers=(4, 2))  # type: ignore[arg-type]
    assert hash(sampling) == hash(dataclasses.replace(sampling))
