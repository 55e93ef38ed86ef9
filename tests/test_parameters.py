"""Checks of what callers give, with everything that is nearly right."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from honed import parameters
from honed.errors import ParameterError
from honed.parameters import checks_names, real_number, takes, whole_number


class Hostile:
    """Fails wherever it is asked something."""

    def __index__(self) -> int:
        raise RuntimeError("no")

    def __float__(self) -> float:
        raise RuntimeError("no")

    def __repr__(self) -> str:
        raise RuntimeError("no")


NO_WHOLE_NUMBERS = [
    2.5, math.nan, math.inf, "5", b"5", "", True, np.True_, None, [5], {}, 5j, Decimal(5), 2.0, np.float32(2),
    np.array([5]), torch.tensor([5]), torch.tensor(2.5), Hostile(), object(), int,
]  # fmt: skip
NO_NUMBERS = [
    math.nan, math.inf, -math.inf, "0.5", b"1", "", True, np.True_, None, [0.5], {}, 5j, 10**400, -(10**400),
    np.array([0.5]), torch.tensor([0.5]), np.float64("nan"), Decimal("nan"), Hostile(), object(), float,
]  # fmt: skip


@pytest.mark.parametrize("value", NO_WHOLE_NUMBERS, ids=lambda value: type(value).__name__)
def test_what_is_no_whole_number_is_refused_by_name(value: object) -> None:
    with pytest.raises(ParameterError, match=r"^max_tokens = .*: must be a whole number of at least 1$") as caught:
        whole_number("max_tokens", value, 1)
    assert caught.value.parameter == "max_tokens"
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", [5, np.int64(5), np.uint8(5), np.array(5), torch.tensor(5)], ids=repr)
def test_integers_of_any_library_are_whole_numbers(value: object) -> None:
    found = whole_number("n", value, 5, 5)
    assert (found, type(found)) == (5, int)


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: type(value).__name__)
def test_what_is_no_number_is_refused_by_name(value: object) -> None:
    with pytest.raises(ParameterError, match=r"^top_p = .*: must be a number from 0 to 1$"):
        real_number("top_p", value, 0, 1)


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5), np.int8(1), torch.tensor(0.5), Decimal("0.5")], ids=repr)
def test_numbers_of_any_library_are_numbers(value: Any) -> None:
    found = real_number("x", value, 0, 1)
    assert (found, type(found)) == (float(value), float)


@given(st.integers(), st.integers(), st.integers())
def test_ranges_are_kept_and_named(value: int, least: int, most: int) -> None:
    if least <= value <= most:
        assert whole_number("n", value, least, most) == value
        return
    with pytest.raises(ParameterError, match=r"^n = .*: must be from "):
        whole_number("n", value, least, most)


def test_a_number_of_400_digits_is_told_by_its_length() -> None:
    with pytest.raises(ParameterError, match=r"a number of about 40[01] digits: must be at most 9"):
        whole_number("n", 10**400, None, 9)


def test_open_ends() -> None:
    assert real_number("x", 0.1, over=0) == 0.1
    for value in (0, -1):
        with pytest.raises(ParameterError, match=r"must be a number over 0"):
            real_number("x", value, over=0)


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (parameters.text, ["a", "\u00e9"], ["", "a\0", b"a", 5, None, True]),
        (parameters.location, ["a", Path("b")], ["", "a\0", b"a", 5, None]),
        (parameters.flag, [True, np.False_], [1, 0, "yes", None, []]),
        (parameters.function, [None, print], [5, "print", []]),
        (parameters.texts, [None, "a", ["a", "b"], ()], [5, [5], b"a", {"a": 1}, ["a", None]]),
    ],
    ids=["text", "location", "flag", "function", "texts"],
)
def test_other_kinds(check: Callable[[str, object], object], good: list[object], bad: list[object]) -> None:
    for value in good:
        check("given", value)
    for value in bad:
        with pytest.raises(ParameterError, match=r"^given = "):
            check("given", value)


@pytest.mark.parametrize("value", ["int9", 5, None, ["int8"], ""])
def test_choices_are_listed(value: object) -> None:
    with pytest.raises(ParameterError, match="must be one of auto, int8"):
        parameters.choice("kv", value, ("auto", "int8"))
    with pytest.raises(ParameterError, match="did you mean int8"):
        parameters.choice("kv", "int9", ("auto", "int8"))


@checks_names
def example(prompt: str, *, max_tokens: int = 1, stop: str = "", seed: int | None = None) -> tuple[str, int]:
    """Says something."""
    return prompt, max_tokens


class Keywords(TypedDict, total=False):
    threads: int
    seed: int


@takes(Keywords)
def other(prompt: str, *, stop: str = "", **given: Unpack[Keywords]) -> int:
    return len(given)


def test_keywords_of_a_typed_dictionary_are_names_too() -> None:
    assert other("a", threads=1, seed=2) == 2
    with pytest.raises(ParameterError, match="did you mean seed"):
        other("a", sede=1)  # type: ignore[call-arg]
    with pytest.raises(ParameterError, match="those that are: prompt, stop, threads, seed"):
        other("a", zzz=1)  # type: ignore[call-arg]


def test_a_checked_function_stays_what_it_is() -> None:
    assert example("a", max_tokens=3) == ("a", 3)
    assert (example.__name__, example.__doc__) == ("example", "Says something.")
    with pytest.raises(TypeError):
        example()  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("max_new_tokens", "max_new_tokens = 4: is called max_tokens here"),
        ("num_predict", "is called max_tokens here"),
        ("stop_sequences", "is called stop here"),
        ("do_sample", "temperature=0 takes the most probable token"),
        ("n_ctx", "is called context here, and is a parameter of honed.load"),
        ("threads", "is a parameter of honed.load"),
        ("device", "leave it out"),
        ("sede", "did you mean seed"),
        ("zzz", "is not a parameter; those that are: prompt, max_tokens, stop, seed"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_one(name: str, answer: str) -> None:
    with pytest.raises(ParameterError, match=answer) as caught:
        example("a", **{name: 4})  # type: ignore[arg-type]
    assert caught.value.parameter == name
