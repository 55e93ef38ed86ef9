"""The light dataclasses against those of the standard library: the same classes made by both."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import field
from functools import cached_property
from typing import Any

import pytest

from honed import records


def make(decorate: Callable[..., Any]) -> type[Any]:
    @decorate(frozen=True)
    class Base:
        first: int
        second: str = "two"

    @decorate(frozen=True)
    class Record(Base):
        """With everything that is used."""

        third: list[int] = field(default_factory=list)
        second: str = "dos"

        def __post_init__(self) -> None:
            if self.first < 0:
                raise ValueError("first")

        @cached_property
        def doubled(self) -> int:
            return 2 * self.first

    return Record


BOTH = [make(records.dataclass), make(dataclasses.dataclass)]
LIGHT, STANDARD = BOTH
CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((1,), {}),
    ((1, "b"), {}),
    ((1, "b", [3]), {}),
    ((), {"first": 1}),
    ((), {"third": [4], "first": 1}),
    ((1,), {"third": [4]}),
]


@pytest.mark.parametrize(("values", "named"), CALLS)
def test_an_instance_is_that_of_the_standard_library(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    light, standard = (cls(*values, **named) for cls in BOTH)
    assert dataclasses.asdict(light) == dataclasses.asdict(standard)
    assert list(vars(light)) == list(vars(standard))
    assert repr(light) == repr(standard)
    assert light == LIGHT(*values, **named)
    assert light != standard
    assert [item.name for item in dataclasses.fields(light)] == [item.name for item in dataclasses.fields(standard)]
    changed = dataclasses.replace(light, first=9)
    assert (changed.first, changed.second, changed.third) == (9, light.second, light.third)
    assert changed != light
    assert copy.copy(light) == light
    assert light.doubled == 2
    assert light == LIGHT(*values, **named)  # what is cached is no field


@pytest.mark.parametrize(
    ("values", "named"),
    [((), {}), ((1, "b", [], 4), {}), ((1,), {"first": 1}), ((1,), {"fourth": 4}), ((), {"second": "b"})],
)
def test_wrong_values_are_refused(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    for cls in BOTH:
        with pytest.raises(TypeError):
            cls(*values, **named)


def test_it_is_checked_frozen_and_has_defaults_of_its_own() -> None:
    for cls in BOTH:
        with pytest.raises(ValueError, match="first"):
            cls(-1)
        made = cls(1)
        assert made.third is not cls(1).third
        with pytest.raises(dataclasses.FrozenInstanceError, match="first"):
            made.first = 2
        with pytest.raises(dataclasses.FrozenInstanceError, match="first"):
            del made.first
        assert cls.__match_args__ == ("first", "second", "third")


@records.dataclass(frozen=True)
class Point:
    x: int
    y: int = 0

    def __str__(self) -> str:
        return "a point"


@records.dataclass(frozen=True, eq=False)
class Thing:
    x: int


@records.dataclass()
class Mutable:
    x: int


def test_equal_records_have_one_hash_and_survive_pickling() -> None:
    assert len({Point(1), Point(1, 0), Point(x=1), Point(0, 1)}) == 2
    assert pickle.loads(pickle.dumps(Point(1, 2))) == Point(1, 2)
    assert str(Point(1)) == "a point"
    match Point(1, 2):
        case Point(x, y=number):
            assert (x, number) == (1, 2)


def test_without_eq_identity_counts_and_what_is_not_frozen_is_the_standard_library_s() -> None:
    one, other = Thing(1), Thing(1)
    assert one != other
    assert len({one, other}) == 2
    mutable = Mutable(1)
    mutable.x = 2
    assert mutable == Mutable(2)
