"""The input of a request to /v1/responses as the messages of a chat.

One turn of the model comes as several items (reasoning, a message, calls of functions), and becomes one message.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any

from honed.errors import ParameterError
from honed.server.request_body import Object, list_at, object_at, text_at, warn_once

_ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
_TEXTS = ("input_text", "output_text", "text", "summary_text", "reasoning_text")
_SEALED = "honed1."
# What coding agents send of tools that their own provider runs: what they gave is in the reply already.
_SKIPPED = frozenset(
    {
        "code_interpreter_call",
        "compaction",
        "computer_call",
        "file_search_call",
        "image_generation_call",
        "mcp_approval_request",
        "mcp_list_tools",
        "web_search_call",
    }
)


def items_of(given: str | Sequence[Object] | None) -> list[Object]:
    """An input as items: a text is a message of the user."""
    return [{"role": "user", "content": given}] if isinstance(given, str) else list(given or ())


def messages_of(
    given: str | Sequence[Object] | None, instructions: str | None, earlier: Sequence[Object] = ()
) -> list[Object]:
    """Messages as `ChatCall` has them. earlier: items of the conversation before. ParameterError names the item that
    is wrong or not supported."""
    messages: list[Object] = []
    if instructions is not None:
        messages.append({"role": "system", "content": instructions})
    items = items_of(given)
    if not items and not earlier:
        raise ParameterError("input", given, "must be a text, or a list of items that is not empty")
    turns = _Turns(messages)
    for item in earlier:
        _add(turns, "previous_response_id", item)
    for index, item in enumerate(items):
        _add(turns, f"input[{index}]", object_at(f"input[{index}]", item))
    return messages


def sealed(reasoning: str) -> str:
    """Reasoning as `encrypted_content`: opaque to clients, which send it back as it is. It is their own text, and is
    encoded, not encrypted."""
    return _SEALED + base64.urlsafe_b64encode(reasoning.encode("utf-8", "replace")).decode()


class _Turns:
    """Messages so far; what belongs to the turn of the model that is being read is put into its last one."""

    def __init__(self, messages: list[Object]) -> None:
        self.messages = messages

    def say(self, role: str, content: Any) -> None:
        last = self._turn() if role == "assistant" else None
        if last is not None and last["content"] is None and "tool_calls" not in last:
            last["content"] = content  # only its reasoning was there
        else:
            self.messages.append({"role": role, "content": content})

    def reason(self, text: str) -> None:
        if text:
            self.messages.append({"role": "assistant", "content": None, "reasoning_content": text})

    def call(self, identifier: str, name: str, arguments: str) -> None:
        last = self._turn()
        if last is None:
            last = {"role": "assistant", "content": None}
            self.messages.append(last)
        last.setdefault("tool_calls", []).append(
            {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}
        )

    def answer(self, identifier: str, content: Any) -> None:
        self.messages.append({"role": "tool", "tool_call_id": identifier, "content": content})

    def _turn(self) -> Object | None:
        last = self.messages[-1] if self.messages else None
        return last if last is not None and last["role"] == "assistant" else None


def _add(turns: _Turns, place: str, item: Object) -> None:
    kind = item.get("type", "message")
    match kind:
        case "message":
            role = item.get("role")
            if not isinstance(role, str) or role not in _ROLES:
                raise ParameterError(f"{place}.role", role, f"must be one of {', '.join(_ROLES)}")
            turns.say(_ROLES[role], _content(f"{place}.content", item.get("content")))
        case "reasoning":
            turns.reason(_reasoning(place, item))
        case "function_call":
            name, arguments = (text_at(f"{place}.{field}", item.get(field)) for field in ("name", "arguments"))
            turns.call(_call_id(place, item), name, arguments)
        case "custom_tool_call":
            given = json.dumps({"input": item.get("input")}, ensure_ascii=False)
            turns.call(_call_id(place, item), text_at(f"{place}.name", item.get("name")), given)
        case "local_shell_call" | "shell_call" | "apply_patch_call":
            given = json.dumps(item.get("action", item.get("operation")), ensure_ascii=False)
            turns.call(_call_id(place, item), kind.removesuffix("_call"), given)
        case str() if kind.endswith("_call_output") and kind != "computer_call_output":
            turns.answer(_call_id(place, item), _output(f"{place}.output", item.get("output")))
        case str() if kind in _SKIPPED:
            warn_once(f"items of the type {kind} in the input of a response are skipped")
        case _:
            raise ParameterError(
                f"{place}.type", kind, "is not supported; use message, reasoning, function_call or function_call_output"
            )


def _call_id(place: str, item: Object) -> str:
    # The local shell of a coding agent answers by the item's own id.
    found = item.get("call_id")
    return text_at(f"{place}.call_id", item.get("id") if found is None else found)


def _content(place: str, value: object) -> str | list[Object]:
    """A text, or the texts of parts: one text where there is one part."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise ParameterError(place, value, "must be a text or a list of parts")
    texts = [_part(f"{place}[{index}]", part) for index, part in enumerate(value)]
    if len(texts) == 1:
        return texts[0]
    return [{"type": "text", "text": text} for text in texts] if texts else ""


def _part(place: str, value: object) -> str:
    part = object_at(place, value)
    kind = part.get("type", "input_text")
    if kind in _TEXTS:
        return text_at(f"{place}.text", part.get("text"))
    if kind == "refusal":
        return text_at(f"{place}.refusal", part.get("refusal"))
    raise ParameterError(f"{place}.type", kind, "is not supported; only text is: input_text or output_text")


def _output(place: str, value: object) -> str | list[Object]:
    """What a tool gave: a text or parts; a coding agent's object is JSON text."""
    if isinstance(value, dict):
        content = value.get("content")
        return content if isinstance(content, str) else json.dumps(value, ensure_ascii=False)
    return _content(place, "" if value is None else value)


def _reasoning(place: str, item: Object) -> str:
    for field in ("content", "summary"):
        parts = item.get(field)
        if parts:
            texts = (_part(f"{place}.{field}[{i}]", part) for i, part in enumerate(list_at(f"{place}.{field}", parts)))
            return "\n".join(texts)
    hidden = item.get("encrypted_content")
    if not isinstance(hidden, str) or not hidden.startswith(_SEALED):
        return ""  # of another server: nobody here can read it
    try:
        return base64.b64decode(hidden[len(_SEALED) :], altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise ParameterError(
            f"{place}.encrypted_content", hidden, "is damaged; send it as it was received, or leave the item out"
        ) from None
