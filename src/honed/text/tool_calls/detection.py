"""Which format of tool calls a model writes, by its chat template and its vocabulary."""

from __future__ import annotations

from honed.text.reasoning import control_tokens
from honed.text.tokenizer import Tokenizer
from honed.text.tool_calls import hermes, llama3, mistral
from honed.text.tool_calls.base import ToolFormat


def detect_tool_format(template: str | None, tokenizer: Tokenizer) -> ToolFormat | None:
    """The format of a chat template; None if it shows the model no tools, so that it cannot know any.

    A template that shows tools without marks of a known format is taken for Hermes', which most models have seen.
    """
    if template is None or "tools" not in template:
        return None
    spelled = {token.content for token in tokenizer.added.values()}

    def has(mark: str) -> bool:
        return mark in template or mark in spelled

    if has(mistral.OPENING):
        return mistral.Mistral(control_tokens(tokenizer, mistral.MARKERS), named=has(mistral.ARGS))
    if hermes.OPENING not in template and has(llama3.OPENING):
        return llama3.Llama3(control_tokens(tokenizer, llama3.MARKERS))
    return hermes.Hermes(control_tokens(tokenizer, hermes.MARKERS))
