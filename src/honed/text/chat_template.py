"""Messages to the text of a prompt, by the template that a checkpoint carries.

Here: what a template is given, and the checks of it. Not here: the sandbox and its bounds, which are in
`text/template_process.py` and `text/template_worker.py`.

Guaranteed for any template: it runs in a process that holds none of the caller's objects, under Jinja's immutable
sandbox; it ends within `Limits.seconds` of wall time even in an endless loop without output, and its text has at most
`Limits.characters`; on Linux its memory is bounded by the kernel too, and it can write to no file. Anything over a
limit is a TemplateError, and the next rendering gets a fresh process.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from honed.errors import ParameterError, TemplateError

if TYPE_CHECKING:
    from honed.text.template_process import Limits

Message = Mapping[str, Any]
"""{"role": ..., "content": text, or a list of {"type": "text", "text": ...}}; further keys reach the template."""

_RESERVED = {"messages", "tools", "documents", "add_generation_prompt"}


class ChatTemplate:
    """A template of a checkpoint, in the dialect of Hugging Face. Close it, or use it in a with statement."""

    def __init__(
        self, source: str, special_tokens: Mapping[str, str] | None = None, *, limits: Limits | None = None
    ) -> None:
        """`special_tokens`: bos_token, eos_token, ... as the template may name them."""
        self.source = source
        self._special_tokens = dict(special_tokens or {})
        from honed.text.template_process import Limits, Renderer  # most starts render nothing

        self._renderer = Renderer(limits or Limits())

    def render(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = True,
        continue_final: bool = False,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt, special tokens written out (encode it with add_special=False).

        continue_final: the text ends with the content of the last message, which the model is to go on with, and
        nothing is added (continue_final_message of transformers). tools: JSON schemas of functions. variables:
        whatever else the template reads, as enable_thinking. A template that goes through parts of a content gets
        parts; for others they are joined by newlines (`content_format.py`).
        Badly formed messages: ParameterError; a template that fails, goes over a limit, or does not write the content
        that is to be continued: TemplateError.
        """
        extra = dict(variables or {})
        if taken := sorted(_RESERVED & extra.keys()):
            raise ParameterError("variables", taken[0], "this name is given by honed; use the argument of that name")
        plain = plain_messages(messages)
        final = _Continued(plain) if continue_final else None
        given = {
            **self._special_tokens,
            **extra,
            "messages": plain,
            "tools": None if tools is None else list(tools),
            "documents": None if documents is None else list(documents),
            "add_generation_prompt": add_generation_prompt and not continue_final,
        }
        for name, value in given.items():
            _require_json(name, value)
        text = self._renderer.render(self.source, given)
        return text if final is None else final.cut(text)

    def close(self) -> None:
        """Ends the renderer's process; a later call of render starts another."""
        self._renderer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Continued:
    """The content of the last message, marked so that its end can be found in the text of the prompt."""

    def __init__(self, messages: list[dict[str, Any]]) -> None:
        """Marks it in place. Nothing to continue: ParameterError."""
        last = messages[-1]
        content = last.get("content")
        if isinstance(content, list) and content:
            self._text: str = content[-1]["text"]
        elif isinstance(content, str):
            self._text = content
        else:
            raise ParameterError(f"messages[{len(messages) - 1}].content", content, "has no text to be continued")
        # A character that is none, and that nothing given has in it. The space after it shows whether the template
        # trims contents.
        whole = json.dumps(messages, ensure_ascii=False)
        self._mark = next(mark for mark in map(chr, range(0xFDE0, 0xFFFFF)) if mark not in whole)
        marked = f"{self._text}{self._mark} "
        last["content"] = [*content[:-1], {**content[-1], "text": marked}] if isinstance(content, list) else marked

    def cut(self, text: str) -> str:
        """The text up to the end of the content, in the way of transformers."""
        end = text.rfind(self._mark)
        before = text[: max(end, 0)]
        if end < 0 or not before.rstrip().endswith(self._text.strip()):
            raise TemplateError(
                "chat template: it leaves out or changes the last message, which therefore cannot be continued; "
                "end with a message of the user"
            )
        return before if text[end + 1 : end + 2] == " " else before.rstrip()


def require_template(source: str | None) -> str:
    """The template itself. None: a TemplateError that says what to do."""
    if source is None:
        raise TemplateError("this checkpoint has no chat template; give a plain prompt, or use an instruct model")
    return source


def plain_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The messages, checked, as new objects; a content is a text, a list of text parts, or None beside tool calls."""
    if not messages:
        raise ParameterError("messages", messages, "must hold at least one message")
    plain = [_plain_message(index, message) for index, message in enumerate(messages)]
    _require_json("messages", plain)
    return plain


def _require_json(name: str, value: object) -> None:
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ParameterError(name, value, f"must be made of JSON values: {error}") from error


def _plain_message(index: int, message: Message) -> dict[str, Any]:
    if not isinstance(message, Mapping):
        raise ParameterError(f"messages[{index}]", message, 'must be a mapping as {"role": "user", "content": "..."}')
    role = message.get("role")
    if not isinstance(role, str) or not role:
        raise ParameterError(f"messages[{index}].role", role, "must be a text as user, assistant or system")
    plain = dict(message)
    content = plain.get("content")
    if isinstance(content, Sequence) and not isinstance(content, str):
        plain["content"] = [{"type": "text", "text": _part_text(index, i, part)} for i, part in enumerate(content)]
    elif content is None:
        # A reply that consists of tool calls has no text.
        if "tool_calls" not in plain:
            raise ParameterError(f"messages[{index}].content", content, "must be a text or a list of text parts")
    elif not isinstance(content, str):
        raise ParameterError(f"messages[{index}].content", content, "must be a text or a list of text parts")
    return plain


def _part_text(index: int, number: int, part: object) -> str:
    if isinstance(part, Mapping) and part.get("type", "text") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    raise ParameterError(
        f"messages[{index}].content[{number}]", part, 'only text is supported: {"type": "text", "text": "..."}'
    )
