"""What may be given as a prompt, and its token ids. Not here: running it (`api/language_model.py`)."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

from honed.errors import ParameterError
from honed.records import dataclass
from honed.text.chat_template import ChatTemplate, Message, require_template
from honed.text.tokenizer import Tokenizer

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

    def encode(self, prompt: Prompt) -> EncodedPrompt:
        """Ids of any kind of prompt. Anything else, or text that is not Unicode: ParameterError."""
        if isinstance(prompt, str):
            return EncodedPrompt(tuple(self._tokenizer.encode(_valid_text(prompt))), continues=True)
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
            text = _valid_text(self.render(items))
            # The template has written the begin token itself.
            return EncodedPrompt(tuple(self._tokenizer.encode(text, add_special=False)), continues=False)
        try:
            return EncodedPrompt(tuple(operator.index(item) for item in items), continues=True)
        except TypeError as error:
            raise ParameterError("prompt", items, _EXPECTED) from error

    def render(self, messages: Sequence[Message]) -> str:
        """The text that the checkpoint's chat template makes of messages. Without a template: TemplateError."""
        if self._template is None:
            source = require_template(self._tokenizer.chat_template)
            self._template = ChatTemplate(source, self._tokenizer.special_tokens)
        return self._template.render(messages)

    def close(self) -> None:
        """Ends the renderer."""
        if self._template is not None:
            self._template.close()


def _valid_text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        shown = text[error.start : error.start + 1]
        raise ParameterError("prompt", shown, f"character {error.start} is half of a surrogate pair") from error
    return text
