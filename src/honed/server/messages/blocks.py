"""The system prompt and the turns of a request to /v1/messages as the messages of a chat.

One turn of the user may hold results of tools and text, and becomes several messages; blocks of the model's turn become
one. Turns of the same role behind each other are one turn, as in the API.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from honed.errors import ParameterError
from honed.server.request_body import Object, list_at, object_at, text_at, warn_once

_BILLING = "x-anthropic-billing-header"
"""A coding agent begins its system prompt with a line of this name, which differs from turn to turn: with it in the
prompt, no prefix would ever be found in the cache."""
_FAILED = ("error", "<tool_use_error")
# What a provider's own tools left in the turns of the model.
_SKIPPED = (
    "bash_code_execution_tool_result",
    "code_execution_tool_result",
    "container_upload",
    "redacted_thinking",
    "server_tool_use",
    "text_editor_code_execution_tool_result",
    "tool_search_tool_result",
    "web_fetch_tool_result",
    "web_search_tool_result",
)


def messages_of(turns: Sequence[Object], system: str | Sequence[Object] | None) -> list[Object]:
    """Messages as `ChatCall` has them. ParameterError names the block that is wrong or not supported."""
    messages: list[Object] = []
    if system is not None and (content := _system(system)) is not None:
        messages.append({"role": "system", "content": content})
    for index, turn in enumerate(turns):
        place = f"messages[{index}]"
        role = object_at(place, turn).get("role")
        content, blocks = turn.get("content"), f"{place}.content"
        match role:
            case "user":
                _add_user(messages, blocks, content)
            case "assistant":
                _add_assistant(messages, blocks, content)
            case "system" | "developer":
                messages.append({"role": "system", "content": _joined(_texts(blocks, content))})
            case _:
                raise ParameterError(f"{place}.role", role, "must be user, assistant or system")
    return messages


def _system(system: str | Sequence[Object]) -> str | list[Object] | None:
    texts = [system] if isinstance(system, str) else _texts("system", list(system))
    kept = [text for text in texts if not text.startswith(_BILLING)]
    return _joined(kept) if kept else None


def _joined(texts: Sequence[str]) -> str | list[Object]:
    """One text where there is one, else parts."""
    return [{"type": "text", "text": text} for text in texts] if len(texts) > 1 else "".join(texts)


def _texts(place: str, content: object) -> list[str]:
    """The texts of a content that may hold nothing else."""
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        raise ParameterError(place, content, "must be a text or a list of blocks")
    return [_text(f"{place}[{index}]", object_at(f"{place}[{index}]", block)) for index, block in enumerate(content)]


def _text(place: str, block: Object) -> str:
    match block.get("type"):
        case "text":
            return text_at(f"{place}.text", block.get("text"))
        case "document" if isinstance(block.get("source"), dict) and block["source"].get("type") == "text":
            parts = (block.get("title"), block.get("context"), block["source"].get("data"))
            return "\n".join(text_at(f"{place}.source.data", part) for part in parts if part is not None)
        case "search_result":
            heads = [text_at(f"{place}.{name}", block.get(name)) for name in ("title", "source")]
            return "\n".join([*heads, *_texts(f"{place}.content", block.get("content"))])
        case kind:
            raise ParameterError(f"{place}.type", kind, "is not supported here; only text is")


def _add_user(messages: list[Object], place: str, content: object) -> None:
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    said: list[str] = []
    for index, value in enumerate(list_at(place, content)):
        here = f"{place}[{index}]"
        block = object_at(here, value)
        if block.get("type") == "tool_result":
            _say(messages, said)
            said = []
            messages.append(_result(here, block))
        else:
            said.append(_text(here, block))
    _say(messages, said)


def _say(messages: list[Object], texts: list[str]) -> None:
    """More text of the user, in the message of the user that stands last, if one does."""
    if not texts:
        return
    last = messages[-1] if messages else None
    if last is None or last["role"] != "user":
        messages.append({"role": "user", "content": _joined(texts)})
        return
    before = last["content"]
    old = [before] if isinstance(before, str) else [part["text"] for part in before]
    last["content"] = _joined([*old, *texts])


def _result(place: str, block: Object) -> Object:
    identifier = text_at(f"{place}.tool_use_id", block.get("tool_use_id"))
    content = block.get("content")
    texts = [] if content is None else _texts(f"{place}.content", content)
    if block.get("is_error") is True and not "".join(texts[:1]).lstrip().lower().startswith(_FAILED):
        texts = [f"Error: {texts[0]}" if texts else "Error", *texts[1:]]
    return {"role": "tool", "tool_call_id": identifier, "content": _joined(texts)}


def _add_assistant(messages: list[Object], place: str, content: object) -> None:
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    last = messages[-1] if messages else None
    message: Object = last if last is not None and last["role"] == "assistant" else {"role": "assistant"}
    for index, value in enumerate(list_at(place, content)):
        here = f"{place}[{index}]"
        block = object_at(here, value)
        match block.get("type"):
            case "thinking":
                thought = text_at(f"{here}.thinking", block.get("thinking"))
                if thought:
                    message["reasoning_content"] = message.get("reasoning_content", "") + thought
            case "tool_use":
                name, identifier = (text_at(f"{here}.{field}", block.get(field)) for field in ("name", "id"))
                arguments = json.dumps(object_at(f"{here}.input", block.get("input")), ensure_ascii=False)
                call = {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}
                message.setdefault("tool_calls", []).append(call)
            case str() as kind if kind in _SKIPPED:
                warn_once(f"blocks of the type {kind} in messages are skipped")
            case _:
                message["content"] = (message.get("content") or "") + _text(here, block)
    message.setdefault("content", None if "tool_calls" in message else "")
    if message is not last:
        messages.append(message)
