from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.errors import ParameterError
from honed.text.grammar_bounds import (
    CHOICES,
    NESTED,
    REGEX_CHARACTERS,
    SCHEMA_CHARACTERS,
    check_lark,
    check_regex,
    checked_schema,
    parsed_choices,
    parsed_schema,
)


def test_annotations_are_left_out_where_they_are_keywords_alone() -> None:
    schema = {
        "title": "T",
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {
            "title": {"type": "string", "description": "d", "format": "password"},
            "default": {"default": 1},
        },
        "required": ["title"],
        "const": {"title": "kept"},
        "unknown": 5,
    }
    assert checked_schema(schema, "p") == {
        "type": "object",
        "properties": {"title": {"type": "string"}, "default": {}},
        "required": ["title"],
        "const": {"title": "kept"},
        "unknown": 5,
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("schema", "closed"),
    [
        ({"properties": {"a": {}}}, True),
        ({"properties": {}}, True),
        ({"type": "object"}, False),
        ({"properties": {"a": {}}, "additionalProperties": {"type": "string"}}, False),
        ({"properties": {"a": {}}, "additionalProperties": True}, False),
        ({"properties": {"a": {}}, "patternProperties": {"^x": {}}}, False),
        ({"properties": {"a": {}}, "minProperties": 2}, False),
        ({"properties": {"a": {}}, "required": ["b"]}, False),
        # What two parts say holds together.
        ({"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}, False),
        ({"allOf": [{"properties": {"a": {}}}]}, True),
        ({"properties": {"a": {}}, "anyOf": [{"properties": {"b": {}}}]}, False),
        ({"properties": {"a": {}}, "$ref": "#/$defs/x", "$defs": {"x": {"properties": {"b": {}}}}}, False),
        ({"anyOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}, True),
    ],
)
def test_an_object_that_lists_its_properties_has_no_others(schema: dict[str, Any], closed: bool) -> None:
    assert ("'additionalProperties': False" in str(checked_schema(schema, "p"))) == closed


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["properties", "items", "anyOf", "multipleOf", "format", "pattern", "required", "not", "type", "x"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_value_is_checked_or_refused(value: Any) -> None:
    try:
        assert checked_schema(checked_schema(value, "p"), "p") == checked_schema(value, "p")
    except ParameterError as error:
        assert str(error).startswith("p")


def nested(levels: int) -> str:
    return '{"items":' * levels + "{}" + "}" * levels


def test_sizes_are_bounded() -> None:
    parsed_schema(nested(NESTED - 1), "p")
    for source in [nested(NESTED), nested(100_000), "[" * 200_000, '{"x": "' + "a" * SCHEMA_CHARACTERS + '"}']:
        with pytest.raises(ParameterError, match="p = "):
            parsed_schema(source, "p")
    check_regex("a" * REGEX_CHARACTERS, "p")
    with pytest.raises(ParameterError, match="at most"):
        check_regex("a" * (REGEX_CHARACTERS + 1), "p")
    with pytest.raises(ParameterError, match="at most"):
        checked_schema({"pattern": "a" * (REGEX_CHARACTERS + 1)}, "p")
    with pytest.raises(ParameterError, match="at most"):
        check_lark("a" * (SCHEMA_CHARACTERS + 1), "p")
    with pytest.raises(ParameterError, match="at most"):
        parsed_choices("[" + '"a",' * CHOICES + '"a"]', "p")
    with pytest.raises(ParameterError, match="at most"):
        parsed_choices("[" * (SCHEMA_CHARACTERS + 1), "p")


def test_multiples_that_are_no_whole_numbers_count_by_their_digits() -> None:
    checked_schema({"multipleOf": 0.01}, "p")
    checked_schema({"multipleOf": 86400}, "p")
    for number in [0.1000001, 1e17, -1, True, float("nan"), float("inf")]:
        with pytest.raises(ParameterError, match="multipleOf"):
            checked_schema({"multipleOf": number}, "p")
