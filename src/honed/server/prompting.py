"""From a call to the token ids of its prompt, by the model's own chat template. Runs in threads: a large text or a slow
template holds up nobody else.

Roles: further system messages are merged into the first where the template refuses them. Tools: where the template
knows none, they are told in the system message, in the form that `server/told_tools.py` says. Not here: templates
themselves (`text/chat_template.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from honed.api.prompt import EncodedPrompt, PromptEncoder
from honed.errors import ParameterError, TemplateError
from honed.server.exchange import ChatCall, TextCall, Tool
from honed.server.told_tools import told
from honed.text.tokenizer import Tokenizer

T = TypeVar("T")
Messages = list[dict[str, Any]]


class Prompter:
    """Prompts for one model. Safe for threads."""

    def __init__(self, tokenizer: Tokenizer, context: int) -> None:
        self._tokenizer = tokenizer
        self._context = context
        self._encoder = PromptEncoder(tokenizer)

    def encode(self, call: ChatCall | TextCall) -> EncodedPrompt:
        """The prompt of a call. ParameterError for one that is too long, badly formed or cannot be infilled;
        TemplateError for what the template refuses."""
        if isinstance(call, ChatCall):
            try:
                return self._of_messages(call)
            except ParameterError as error:
                raise of_messages(error) from None
        return self._of_text(call)

    def render(self, call: ChatCall) -> str:
        """The text of the prompt of a chat, control tokens written out."""
        return self._rendered(call, lambda messages, extra: self._encoder.render(messages, **extra))

    def close(self) -> None:
        """Ends the renderer."""
        self._encoder.close()

    def _of_messages(self, call: ChatCall) -> EncodedPrompt:
        return self._rendered(
            call, lambda messages, extra: self._encoder.encode_chat(messages, room=self._context, **extra)
        )

    def _rendered(self, call: ChatCall, render: Callable[[Messages, dict[str, Any]], T]) -> T:
        source = call.template or self._tokenizer.chat_template or ""
        tools = () if call.tool_choice == "none" else call.tools
        messages: Messages = [dict(message) for message in call.messages]
        knows_tools = "tools" in source
        if not knows_tools:
            messages = told(messages, tools)
        extra: dict[str, Any] = {
            "tools": [tool_document(tool) for tool in tools] if tools and knows_tools else None,
            "variables": call.template_variables,
            "template": call.template,
            "add_generation_prompt": call.add_generation_prompt,
        }
        if knows_tools:
            messages = [_with_objects(message) for message in messages]
        try:
            return render(messages, extra)
        except TemplateError:
            merged = merged_systems(messages)
            if merged == messages:
                raise
            return render(merged, extra)

    def _of_text(self, call: TextCall) -> EncodedPrompt:
        if call.suffix is not None:
            return self._infill(call, call.suffix)
        if isinstance(call.prompt, str) and not call.add_special_tokens:
            encoded = self._encoder.encode(call.prompt, room=self._context)  # checks the text and its length
            del encoded
            return EncodedPrompt(tuple(self._tokenizer.encode(call.prompt, add_special=False)), continues=True)
        return self._encoder.encode(call.prompt, room=self._context)

    def _infill(self, call: TextCall, suffix: str) -> EncodedPrompt:
        from honed.text.infill import infill_prompt

        if not isinstance(call.prompt, str):
            raise ParameterError("suffix", suffix, "needs a prompt that is a text")
        tokens = infill_prompt(self._tokenizer, call.prompt, suffix)
        if tokens is None:
            raise ParameterError("suffix", suffix, "is not for this model, which has no tokens for filling in")
        return EncodedPrompt(tuple(tokens), continues=True)


def tool_document(tool: Tool) -> dict[str, Any]:
    """A tool as templates and models know it."""
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = dict(tool.parameters) or {"type": "object", "properties": {}}
    return {"type": "function", "function": function}


def merged_systems(messages: Sequence[Mapping[str, Any]]) -> Messages:
    """All system messages as one, which stands first; the others in their order."""
    systems = [message for message in messages if message["role"] == "system"]
    if not systems:
        return [dict(message) for message in messages]
    text = "\n\n".join(_text_of(message["content"]) for message in systems)
    rest = [dict(message) for message in messages if message["role"] != "system"]
    return [{"role": "system", "content": text}, *rest]


def _text_of(content: Any) -> str:
    return content if isinstance(content, str) else "\n".join(part["text"] for part in content)


def _with_objects(message: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of tool calls as objects, which templates write as JSON themselves."""
    if not message.get("tool_calls"):
        return dict(message)
    calls = []
    for call in message["tool_calls"]:
        function = dict(call["function"])
        try:
            arguments = json.loads(function["arguments"] or "{}")
        except (ValueError, RecursionError):
            arguments = function["arguments"]  # as the model wrote it
        if isinstance(arguments, dict):
            function["arguments"] = arguments
        calls.append({**call, "function": function})
    return {**message, "tool_calls": calls}


def of_messages(error: ParameterError) -> ParameterError:
    """The same refusal of a chat's prompt, with the field that clients know."""
    if error.parameter == "prompt":
        error.parameter = "messages"
        error.args = (str(error).replace("prompt = ", "messages = ", 1),)
    return error
