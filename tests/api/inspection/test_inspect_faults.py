"""Readers are asked until they refuse nothing more; what they refuse is told once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from honed.api.inspection.faults import about_tensors, gather, named
from honed.errors import FormatError, UnsupportedError


def read(values: Mapping[str, Any]) -> None:
    """Refuses one thing at a time, as readers do."""
    if values.get("cap"):
        raise UnsupportedError(f"a/config.json: cap is {values['cap']}, which is not known")
    if not isinstance(values.get("heads"), int):
        raise FormatError("a/config.json", "heads", "must be a number")
    if values["heads"] % values.get("groups", 1):
        raise FormatError("a/config.json", "groups", f"must divide heads {values['heads']}")
    inner = values.get("rope", {})
    if inner.get("kind", "plain") != "plain":
        raise UnsupportedError(f"a/config.json: rope.kind {inner['kind']!r} is not known")


def test_all_that_is_refused_is_told() -> None:
    found = gather({"cap": 3, "heads": 8, "rope": {"kind": "odd", "base": 1}}, read, {"heads": 4}, "field")
    assert found.read
    assert [(fault.name, fault.value) for fault in found.faults] == [("cap", "3"), ("rope.kind", "'odd'")]
    assert found.sizes_hold
    assert found.values == {"heads": 8, "rope": {"base": 1}}


def test_what_follows_from_an_invented_value_is_not_told() -> None:
    found = gather({"heads": "x", "groups": 3}, read, {"heads": 4, "groups": 2}, "field")
    assert found.read
    assert [fault.name for fault in found.faults] == ["heads"]
    assert not found.sizes_hold


def test_a_reader_that_is_never_content_ends_it() -> None:
    def refuse(values: Mapping[str, Any]) -> None:
        raise UnsupportedError("a/config.json: cap is wrong" if "cap" in values else "something else is wrong")

    found = gather({"cap": 1}, refuse, {}, "field")
    assert not found.read
    assert [(fault.kind, fault.name) for fault in found.faults] == [("field", "cap"), ("engine", "")]


def test_names_are_those_of_the_sentence_and_not_of_the_path() -> None:
    error = UnsupportedError("heads/config.json: cap is 3 beside groups")
    assert list(named(error, {"heads": 1, "cap": 3, "groups": 2})) == ["cap", "groups"]


def test_tensors_of_all_layers_are_one_fault() -> None:
    (fault,) = about_tensors("missing", [f"layers.{n}.up.weight" for n in range(12)], "is not there")
    assert (fault.name, fault.count, len(fault.examples)) == ("layers.N.up.weight", 12, 3)
