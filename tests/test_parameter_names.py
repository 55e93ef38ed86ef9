from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import honed
from honed.parameter_names import _HOMES, RENAMED, answer


def parameters(function: Callable[..., Any], options: type) -> set[str]:
    """Of a function and of the options that it takes as keywords."""
    return {*inspect.signature(function).parameters, *(field.name for field in dataclasses.fields(options))}


LOAD = parameters(honed.load, honed.RunOptions)
GENERATE = parameters(honed.LanguageModel.generate, honed.SamplingOptions)


def test_what_is_called_differently_elsewhere_is_called_so_nowhere_here() -> None:
    names = LOAD | GENERATE | parameters(honed.LanguageModel.generate_batch, honed.SamplingOptions)
    assert not set(RENAMED) & names
    assert set(RENAMED.values()) <= names | {"out", "recipe", "system"}


def test_parameters_are_where_they_are_said_to_be() -> None:
    for name, home in _HOMES.items():
        assert name in (LOAD if home == "honed.load" else GENERATE)


def test_answers() -> None:
    known = ("prompt", "max_tokens")
    assert answer("max_new_tokens", known) == "is called max_tokens here"
    assert answer("n_ctx", known) == "is called context here, and is a parameter of honed.load"
    assert answer("threads", known) == "is a parameter of honed.load"
    assert answer("promt", known) == "is not a parameter; did you mean prompt? those that are: prompt, max_tokens"
    assert len(answer("x" * 100_000, known)) < 200
