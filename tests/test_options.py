"""What holds for every value of options: JSON and back, keywords that agree with it, mistakes that are named."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any, get_type_hints

import numpy as np
import pytest

from honed.backends.options import RunKeywords, RunOptions
from honed.errors import ParameterError
from honed.options import Options
from honed.runtime.options import SamplingKeywords, SamplingOptions

VALUES: list[Options] = [
    RunOptions(),
    RunOptions(dtype="bfloat16", kv="int8", threads=3, isa="avx2", context=64, sequences=4),
    RunOptions(backend="pytorch", dtype="float32", context=64),
    SamplingOptions(),
    SamplingOptions(0.5, 4, 0.9, 0.1, 1.1, 2**64 - 1, "reply"),
]
KINDS = [(RunOptions, RunKeywords), (SamplingOptions, SamplingKeywords)]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_json_and_back(value: Options) -> None:
    assert type(value).from_json(json.loads(json.dumps(value.to_json()))) == value


@pytest.mark.parametrize(("kind", "_"), KINDS)
def test_what_json_leaves_out_has_its_default(kind: type[Options], _: object) -> None:
    assert kind.from_json({}) == kind()


@pytest.mark.parametrize("value", [None, [], "a", 5, {5: "a"}])
@pytest.mark.parametrize(("kind", "_"), KINDS)
def test_json_that_is_no_object_is_refused(kind: type[Options], _: object, value: object) -> None:
    with pytest.raises(ParameterError, match=f"must be an object with the fields of honed.{kind.__name__}"):
        kind.from_json(value)


@pytest.mark.parametrize(("kind", "keywords"), KINDS)
def test_keywords_are_those_of_the_value(kind: type[Any], keywords: type) -> None:
    assert {field.name: field.type for field in fields(kind)} == {
        name: getattr(hint, "__forward_arg__", hint) for name, hint in keywords.__annotations__.items()
    }
    assert list(get_type_hints(keywords)) == [field.name for field in fields(kind)]


def test_unknown_fields_are_answered_with_the_right_name() -> None:
    with pytest.raises(ParameterError, match="n_threads = 2: is called threads here"):
        RunOptions.from_json({"n_threads": 2})
    with pytest.raises(ParameterError, match="temprature = 1: is not a parameter; did you mean temperature"):
        SamplingOptions.of(None, {"temprature": 1})
    with pytest.raises(ParameterError, match="did you mean temperature"):
        replace(SamplingOptions(), temprature=1)  # type: ignore[call-arg]


def test_a_value_with_changes() -> None:
    value = RunOptions(threads=2, kv="int8")
    assert RunOptions.of(value, {}) is value
    assert RunOptions.of(value, {"threads": None}) == RunOptions(kv="int8")
    assert RunOptions.of(None, {"threads": 3}) == RunOptions(threads=3)
    for wrong in ({"threads": 2}, SamplingOptions(), "int8"):
        with pytest.raises(ParameterError, match=r"options = .*: must be a honed.RunOptions"):
            RunOptions.of(wrong, {})  # type: ignore[arg-type]


def test_values_are_frozen_hashable_and_of_plain_types() -> None:
    value = RunOptions(threads=np.int64(2))  # type: ignore[arg-type]
    assert type(value.threads) is int
    assert hash(value) == hash(RunOptions(threads=2))
    with pytest.raises(FrozenInstanceError):
        value.threads = 3  # type: ignore[misc]
    assert type(SamplingOptions(top_p=np.float32(0.5)).top_p) is float  # type: ignore[arg-type]
