from __future__ import annotations

from typing import Any

import pytest

from honed.errors import ParameterError
from honed.text.tool_calls.base import ForcedTool
from honed.text.tool_calls.schema import chosen, schema_of_tools

TREE: dict[str, Any] = {
    "$id": "urn:tree",
    "type": "object",
    "properties": {"$ref": {"$ref": "#"}, "leaf": {"anyOf": [{"$ref": "#/$defs/leaf"}, {"const": {"$ref": "#"}}]}},
    "$defs": {"leaf": {"type": "string"}},
}


def test_references_follow_the_schema() -> None:
    schema = schema_of_tools({"a": {}, "tree": TREE}, arguments="parameters")
    moved = schema["$defs"]["tool1"]
    assert moved == {
        "type": "object",
        "properties": {
            "$ref": {"$ref": "#/$defs/tool1"},
            "leaf": {"anyOf": [{"$ref": "#/$defs/tool1/$defs/leaf"}, {"const": {"$ref": "#"}}]},
        },
        "$defs": {"leaf": {"type": "string"}},
    }
    assert schema["anyOf"][1]["properties"] == {
        "name": {"const": "tree"},
        "parameters": {"$ref": "#/$defs/tool1"},
    }


def test_calls_are_valid_under_the_schema() -> None:
    validators = pytest.importorskip("jsonschema_rs")
    schema = schema_of_tools({"a": {"type": "object", "required": ["x"]}, "tree": TREE})
    good: list[Any] = [{"name": "a", "arguments": {"x": 1}}, {"name": "tree", "arguments": {"leaf": "l", "$ref": {}}}]
    bad: list[Any] = [{"name": "b", "arguments": {}}, {"name": "a", "arguments": {}}, {"name": "tree"}, []]
    bad.append({"name": "tree", "arguments": {"$ref": {"leaf": 5}}})
    assert all(validators.is_valid(schema, value) for value in good)
    assert not any(validators.is_valid(schema, value) for value in bad)


def test_the_tools_of_a_choice() -> None:
    assert chosen(["a", "b"], [{}, TREE], "auto") == {"a": {}, "b": TREE}
    assert chosen(["a", "b"], [{}, TREE], ForcedTool("b")) == {"b": TREE}
    with pytest.raises(ParameterError, match="tool_choice"):
        chosen(["a", "b"], [{}, TREE], ForcedTool("c"))
    with pytest.raises(ParameterError, match="tools"):
        chosen([], [], "required")
