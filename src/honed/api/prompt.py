"""What may be given as a prompt, and its token ids. Not here: running it (`api/language_model.py`)."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from honed.errors import ParameterError, PromptTooLongError, TemplateError
from honed.records import dataclass
from honed.text.chat_template import ChatTemplate, Message, plain_messages, require_template
from honed.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from honed.text.literal import LiteralText
    from honed.text.prompt_bound import PromptBound

Prompt = str | Sequence[int] | Sequence[Message]
"""Plain text to go on with, token ids, or the messages of a chat."""

_EXPECTED = "must be a text, a list of token ids, or a list of messages"


@dataclass(frozen=True)
class EncodedPrompt:
    """Token ids, and whether the reply goes on with the prompt's text (False: it is a text of its own)."""

    tokens: tuple[int, ...]
    continues: bool


class PromptEncoder:
    """Prompts to token ids for one tokenizer. Close it to end the chat template's renderer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._template: ChatTemplate | None = None
        self._other: ChatTemplate | None = None
        """The last one that a caller gave."""

    def encode(self, prompt: Prompt, *, literal: bool | None = None, room: int | None = None) -> EncodedPrompt:
        """Ids of any kind of prompt.

        literal: control tokens that are spelled in a text are text: True, they are; False, they are control tokens;
        None, they are text in the contents of messages, and control tokens in a plain prompt. Messages that end with
        one of the assistant are to be continued. room: a text of more tokens is refused, a long one before all of it
        has been made into tokens. Anything else, or text that is not Unicode: ParameterError.
        """
        if isinstance(prompt, str):
            return EncodedPrompt(tuple(self._of_text(_valid_text(prompt), literal is True, room)), continues=True)
        try:
            # Bytes are integers to Python, but nobody means them as token ids.
            items: list[Any] = [] if isinstance(prompt, bytes) else list(prompt)
        except TypeError as error:
            raise ParameterError("prompt", prompt, _EXPECTED) from error
        if not items:
            raise ParameterError(
                "prompt", prompt, "must be a text, or a list of token ids or messages that is not empty"
            )
        if isinstance(items[0], Mapping):
            return self._of_messages(items, literal is not False, room)
        try:
            return EncodedPrompt(tuple(operator.index(item) for item in items), continues=True)
        except TypeError as error:
            raise ParameterError("prompt", items, _EXPECTED) from error

    def encode_chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        variables: Mapping[str, Any] | None = None,
        template: str | None = None,
        add_generation_prompt: bool = True,
        room: int | None = None,
    ) -> EncodedPrompt:
        """Ids of the messages of a chat, with all that a template may be given; what they say is text, and no control
        token. Parameters and errors as of `render` and `encode`."""
        given = {
            "tools": tools,
            "variables": variables,
            "template": template,
            "add_generation_prompt": add_generation_prompt,
        }
        return self._of_messages(list(messages), True, room, **given)

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        variables: Mapping[str, Any] | None = None,
        template: str | None = None,
        add_generation_prompt: bool = True,
    ) -> str:
        """The text that the checkpoint's chat template, or another one, makes of messages. Without one: TemplateError.

        If the last message is of the assistant, the text ends with it and is to be continued. The other parameters are
        those of `ChatTemplate.render`.
        """
        return self._template_of(template).render(
            messages,
            add_generation_prompt=add_generation_prompt,
            continue_final=is_begun(messages),
            tools=tools,
            variables=variables,
        )

    def _template_of(self, source: str | None) -> ChatTemplate:
        if source is not None:
            # One at a time: each has a process of its own.
            if self._other is None or self._other.source != source:
                if self._other is not None:
                    self._other.close()
                self._other = ChatTemplate(source, self._tokenizer.special_tokens)
            return self._other
        if self._template is None:
            if self._tokenizer.no_template:
                raise TemplateError(self._tokenizer.no_template)
            own = require_template(self._tokenizer.chat_template)
            self._template = ChatTemplate(own, self._tokenizer.special_tokens)
        return self._template

    def close(self) -> None:
        """Ends the renderer."""
        for template in (self._template, self._other):
            if template is not None:
                template.close()

    def _of_text(self, text: str, literal: bool, room: int | None) -> list[int]:
        self._require_room(text, room)
        if not literal:
            return self._tokenizer.encode(text)
        marks = self._literal.marks(text)
        return self._tokenizer.completed(self._literal.encode(marks.text(text), marks.mark))

    def _of_messages(self, items: list[Any], literal: bool, room: int | None, **given: Any) -> EncodedPrompt:
        messages = plain_messages(items)
        tools = given.get("tools")
        marks = self._literal.marks([messages, tools]) if literal else None
        if marks is not None and tools is not None:
            given["tools"] = marks.messages(tools)
        text = _valid_text(self.render(messages if marks is None else marks.messages(messages), **given))
        self._require_room(text, room)
        # The template has written the begin token itself.
        ids = (
            self._tokenizer.encode(text, add_special=False) if marks is None else self._literal.encode(text, marks.mark)
        )
        return EncodedPrompt(tuple(ids), continues=is_begun(messages))

    def _require_room(self, text: str, room: int | None) -> None:
        if room is None or len(text) <= room:  # the most prompts, for which nothing more is imported
            return
        least = self._bound.least_tokens(text, room)
        if least > room:
            raise PromptTooLongError(
                "prompt",
                f"{len(text)} characters",
                f"has at least {least} tokens and must have fewer than {room}; shorten it, or load the model with a "
                "larger context",
            )

    @cached_property
    def _literal(self) -> LiteralText:
        from honed.text.literal import LiteralText  # a plain prompt needs none

        return LiteralText(self._tokenizer)

    @cached_property
    def _bound(self) -> PromptBound:
        from honed.text.prompt_bound import PromptBound

        return PromptBound(self._tokenizer)


def is_begun(messages: Sequence[Message]) -> bool:
    """Whether the last message is a reply that is to be continued."""
    last = messages[-1]
    return last["role"] == "assistant" and bool(last.get("content") is not None) and not last.get("tool_calls")


def _valid_text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        shown = text[error.start : error.start + 1]
        raise ParameterError("prompt", shown, f"character {error.start} is half of a surrogate pair") from error
    return text
