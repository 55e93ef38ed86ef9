"""JSON schemas of calls, made of those of the arguments. Not here: what surrounds a call in a format."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from honed.errors import ParameterError
from honed.text.tool_calls.base import ForcedTool, ToolChoice

JSON_STYLE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": ", "lenient": False}
"""How the grammar library writes JSON: as `json.dumps` does."""

_KEPT_AS_IS = frozenset(("const", "enum"))
_MAPS = frozenset(("properties", "patternProperties", "$defs", "definitions"))


def chosen(
    names: Sequence[str], schemas: Sequence[Mapping[str, Any]], choice: ToolChoice
) -> dict[str, Mapping[str, Any]]:
    """The tools that may be called, with the schemas of their arguments."""
    found = dict(zip(names, schemas, strict=True))
    if isinstance(choice, ForcedTool):
        if choice.name not in found:
            raise ParameterError("tool_choice", choice.name, f"must be one of the tools: {', '.join(names)}")
        return {choice.name: found[choice.name]}
    if not found:
        raise ParameterError("tools", list(names), "must not be empty")
    return found


def schema_of_tools(tools: Mapping[str, Mapping[str, Any]], *, arguments: str = "arguments") -> dict[str, Any]:
    """The schema of a call of any of the tools: an object of the name and, under the key `arguments`, the arguments."""
    calls: list[dict[str, Any]] = []
    definitions: dict[str, Any] = {}
    for number, (name, schema) in enumerate(tools.items()):
        # What the schema refers to stands at another place now.
        definitions[f"tool{number}"] = _moved(schema, f"#/$defs/tool{number}")
        calls.append(
            {
                "type": "object",
                "properties": {"name": {"const": name}, arguments: {"$ref": f"#/$defs/tool{number}"}},
                "required": ["name", arguments],
                "additionalProperties": False,
            }
        )
    return {"anyOf": calls, "$defs": definitions}


def json_rule(rule: str, schema: Mapping[str, Any]) -> str:
    """A rule of a Lark grammar for values of a schema."""
    return f"{rule}: %json {json.dumps({**schema, 'x-guidance': JSON_STYLE})}"


def _moved(schema: Any, root: str) -> Any:
    """The schema with its references to itself as they are where it stands at `root`."""
    if isinstance(schema, list):
        return [_moved(inner, root) for inner in schema]
    if not isinstance(schema, Mapping):
        return schema
    moved: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "$ref" and isinstance(value, str) and (value == "#" or value.startswith("#/")):
            moved[key] = root + value[1:]
        elif key in _MAPS and isinstance(value, Mapping):
            moved[key] = {name: _moved(inner, root) for name, inner in value.items()}
        elif key in ("$id", "id", "$anchor"):
            continue
        else:
            moved[key] = value if key in _KEPT_AS_IS else _moved(value, root)
    return moved
