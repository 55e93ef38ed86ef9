"""The messages of a request to /api/chat as those of a chat. Calls of tools have no ids there: they are counted."""

from __future__ import annotations

import json
from collections.abc import Sequence

from honed.errors import ParameterError
from honed.server.exchange import Tool
from honed.server.request_body import Object, list_at, object_at, text_at

_ROLES = ("system", "user", "assistant", "tool")


def messages_of(turns: Sequence[Object]) -> list[Object]:
    """Messages as `ChatCall` has them. ParameterError names what is wrong or not supported."""
    waiting: list[tuple[str, str]] = []  # (name, id) of calls without an answer yet
    messages: list[Object] = []
    calls = 0
    for index, turn in enumerate(turns):
        place = f"messages[{index}]"
        role = object_at(place, turn).get("role")
        if role not in _ROLES:
            raise ParameterError(f"{place}.role", role, f"must be one of {', '.join(_ROLES)}")
        if turn.get("images"):
            raise ParameterError(f"{place}.images", "...", "is not supported; only text is")
        content = turn.get("content")
        message: Object = {"role": role, "content": "" if content is None else text_at(f"{place}.content", content)}
        if turn.get("thinking"):
            message["reasoning_content"] = text_at(f"{place}.thinking", turn["thinking"])
        if turn.get("tool_calls"):
            found = [
                _call(f"{place}.tool_calls[{number}]", value, calls + number)
                for number, value in enumerate(list_at(f"{place}.tool_calls", turn["tool_calls"]))
            ]
            calls += len(found)
            waiting += [(call["function"]["name"], call["id"]) for call in found]
            message["tool_calls"] = found
            message["content"] = message["content"] or None
        if role == "tool":
            name = turn.get("tool_name", turn.get("name"))
            message["tool_call_id"] = _answered(waiting, turn.get("tool_call_id"), name)
            if isinstance(name, str):
                message["name"] = name
        messages.append(message)
    return messages


def tools_of(given: Sequence[Object] | None) -> tuple[Tool, ...]:
    """Functions. ParameterError for one without a name."""
    return tuple(_tool(f"tools[{index}]", tool) for index, tool in enumerate(given or ()))


def _tool(place: str, tool: object) -> Tool:
    function = object_at(f"{place}.function", object_at(place, tool).get("function"))
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise ParameterError(f"{place}.function.name", name, "must be the name of the function")
    described, parameters = function.get("description"), function.get("parameters")
    return Tool(
        name=name,
        description=None if described is None else text_at(f"{place}.function.description", described),
        parameters={} if parameters is None else object_at(f"{place}.function.parameters", parameters),
    )


def _call(place: str, value: object, number: int) -> Object:
    call = object_at(place, value)
    function = object_at(f"{place}.function", call.get("function"))
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        arguments = json.dumps(object_at(f"{place}.function.arguments", arguments or {}), ensure_ascii=False)
    identifier = call.get("id")
    return {
        "id": identifier if isinstance(identifier, str) and identifier else f"call_{number}",
        "type": "function",
        "function": {"name": text_at(f"{place}.function.name", function.get("name")), "arguments": arguments},
    }


def _answered(waiting: list[tuple[str, str]], identifier: object, name: object) -> str:
    """The id of the call that a message answers: the one it names, else the first that waits by this name, or at
    all."""
    if isinstance(identifier, str) and identifier:
        waiting[:] = [call for call in waiting if call[1] != identifier]
        return identifier
    found = next((call for call in waiting if call[0] == name), waiting[0] if waiting else None)
    if found is None:
        return "call_0"
    waiting.remove(found)
    return found[1]
