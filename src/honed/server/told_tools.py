"""Tools for models whose chat template knows none: told in the system message, in the form of Hermes (NousResearch),
which most open models have seen in training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from honed.server.exchange import Tool

_HEAD = (
    "You may call functions to answer. These are the functions, each with a JSON schema of its arguments:\n<tools>\n"
)
_FOOT = (
    "\n</tools>\nTo call one, write a JSON object with its name and arguments between tags:\n"
    '<tool_call>\n{"name": <name>, "arguments": <arguments>}\n</tool_call>'
)


def told(messages: Sequence[Mapping[str, Any]], tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """The messages with the tools in the system message, and with earlier calls and their results as text."""
    found = [_as_text(message) for message in messages]
    if not tools:
        return found
    lines = [
        json.dumps(
            {"name": tool.name, "description": tool.description or "", "parameters": dict(tool.parameters)},
            ensure_ascii=False,
        )
        for tool in tools
    ]
    text = _HEAD + "\n".join(lines) + _FOOT
    if found and found[0]["role"] == "system":
        content = found[0]["content"]
        before = content if isinstance(content, str) else "\n".join(part["text"] for part in content)
        return [{**found[0], "content": f"{before}\n\n{text}"}, *found[1:]]
    return [{"role": "system", "content": text}, *found]


def _as_text(message: Mapping[str, Any]) -> dict[str, Any]:
    if message["role"] == "tool":
        content = message["content"]
        text = content if isinstance(content, str) else "\n".join(part["text"] for part in content)
        return {"role": "user", "content": f"<tool_response>\n{text}\n</tool_response>"}
    if not message.get("tool_calls"):
        return dict(message)
    calls = [
        f'<tool_call>\n{{"name": {json.dumps(call["function"]["name"])}, '
        f'"arguments": {call["function"]["arguments"] or "{}"}}}\n</tool_call>'
        for call in message["tool_calls"]
    ]
    before = message.get("content") or ""
    text = before if isinstance(before, str) else "\n".join(part["text"] for part in before)
    kept = {key: value for key, value in message.items() if key not in ("tool_calls", "content")}
    return {**kept, "content": "\n".join([*([text] if text else []), *calls])}
