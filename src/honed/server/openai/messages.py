"""Messages of a chat as clients send them, made into those that a `ChatCall` has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from honed.errors import quoted
from honed.server.errors import refused
from honed.server.fields import Body


class ContentPart(Body):
    """One part of a content; only text is taken."""

    type: str
    text: str | None = None
    refusal: str | None = None


class FunctionCalled(Body):
    """A function that was called, and its arguments as JSON text."""

    name: str
    arguments: str


class ToolCalled(Body):
    """A tool call of an earlier reply."""

    id: str | None = None
    type: str | None = "function"
    function: FunctionCalled


class ChatMessage(Body):
    """One message. reasoning_content and reasoning are the same."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[ToolCalled] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None

    def read(self, index: int) -> Mapping[str, Any]:
        """In plain values, for a template. What is no text: RequestError."""
        place = f"messages[{index}]"
        found: dict[str, Any] = {"role": "system" if self.role == "developer" else self.role}
        found["content"] = self._content(place)
        if self.name is not None:
            found["name"] = self.name
        if self.role == "assistant":
            if self.tool_calls:
                found["tool_calls"] = [_called(call, number) for number, call in enumerate(self.tool_calls)]
            thought = self.reasoning_content if self.reasoning_content is not None else self.reasoning
            if thought is not None:
                found["reasoning_content"] = thought
        if self.tool_call_id is not None:
            found["tool_call_id"] = self.tool_call_id
        if found["content"] is None and "tool_calls" not in found:
            if self.refusal is None and self.role != "assistant":
                raise refused(400, f"{place}.content is missing, and required", f"{place}.content")
            found["content"] = self.refusal or ""
        return found

    def _content(self, place: str) -> str | Sequence[Mapping[str, Any]] | None:
        if not isinstance(self.content, list):
            return self.content
        parts: list[Mapping[str, Any]] = []
        for number, part in enumerate(self.content):
            text = part.refusal if part.type == "refusal" else part.text
            if part.type not in ("text", "input_text", "output_text", "refusal") or text is None:
                raise refused(
                    400,
                    f"{place}.content[{number}].type = {quoted(part.type)}: this model takes text only",
                    f"{place}.content[{number}]",
                    "unsupported",
                )
            parts.append({"type": "text", "text": text})
        return parts or ""


class FunctionDefinition(Body):
    """A function that may be called; parameters is a JSON schema."""

    name: str = Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_.:-]+$")
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolDefinition(Body):
    """A tool; those of other types than function are skipped."""

    type: str
    function: FunctionDefinition | None = None


class NamedFunction(Body):
    """The function that must be called."""

    name: str


class NamedTool(Body):
    """The tool that must be called."""

    type: Literal["function"]
    function: NamedFunction


def _called(call: ToolCalled, number: int) -> dict[str, Any]:
    # Other servers leave the id out, and templates of Mistral's do not bear that.
    return {
        "id": call.id or f"call_{number:09d}",
        "type": "function",
        "function": {"name": call.function.name, "arguments": call.function.arguments},
    }
