"""The tools of a request to /v1/responses, which of them must be called, and the form of its text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from honed.errors import ParameterError
from honed.server.exchange import Grammar, Tool
from honed.server.request_body import Object, list_at, object_at, text_at, warn_once

Choice = Literal["auto", "none", "required"]


@dataclass(frozen=True)
class Tools:
    """The functions, and how they are to be used; `forced` is the name of the one that must be called."""

    functions: tuple[Tool, ...] = ()
    choice: Choice = "auto"
    forced: str | None = None


def tools_of(given: Sequence[Object] | None, choice: str | Object | None) -> Tools:
    """Tools that are no functions are skipped: a provider runs them, or only a model trained for them can call them.
    ParameterError for functions without a name and for a choice that names no function."""
    found = [_function(f"tools[{index}]", object_at(f"tools[{index}]", tool)) for index, tool in enumerate(given or ())]
    functions = tuple(tool for tool in found if tool is not None)
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        named = list_at("tool_choice.tools", choice.get("tools"))
        names = [object_at(f"tool_choice.tools[{index}]", tool).get("name") for index, tool in enumerate(named)]
        functions = tuple(tool for tool in functions if tool.name in names)
        choice = text_at("tool_choice.mode", choice.get("mode", "auto"))
    match choice:
        case None | "auto":
            return Tools(functions)
        case "none":
            return Tools(functions, "none")
        case "required":
            if not functions:
                raise ParameterError("tool_choice", choice, "needs at least one tool of the type function")
            return Tools(functions, "required")
        case {"type": "function", "name": str(name)}:
            if all(tool.name != name for tool in functions):
                raise ParameterError("tool_choice.name", name, "must be the name of one of the tools")
            return Tools(functions, "required", name)
    raise ParameterError("tool_choice", choice, "must be auto, none, required, or name a tool of the type function")


def _function(place: str, tool: Object) -> Tool | None:
    kind = tool.get("type")
    if kind != "function":
        warn_once(f"tools of the type {text_at(f'{place}.type', kind)[:80]} are skipped: only functions are supported")
        return None
    name = tool.get("name")
    if not isinstance(name, str) or not name:
        raise ParameterError(f"{place}.name", name, "must be the name of the function")
    described, parameters = tool.get("description"), tool.get("parameters")
    return Tool(
        name=name,
        description=None if described is None else text_at(f"{place}.description", described),
        parameters={} if parameters is None else object_at(f"{place}.parameters", parameters),
        strict=tool.get("strict") is True,
    )


def grammar_of(text: Object | None) -> Grammar | None:
    """Of the field `text`. ParameterError for a format that is not known, and one without a schema."""
    form = None if text is None else text.get("format")
    if form is None:
        return None
    match object_at("text.format", form).get("type"):
        case "text":
            return None
        case "json_object":
            return Grammar(kind="json_object", parameter="text.format")
        case "json_schema":
            schema = object_at("text.format.schema", form.get("schema"))
            return Grammar(kind="json_schema", source=json.dumps(schema), parameter="text.format.schema")
    raise ParameterError("text.format.type", form.get("type"), "must be text, json_object or json_schema")
