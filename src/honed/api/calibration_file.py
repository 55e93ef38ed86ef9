"""A user's file to calibrate on, document by document: text, JSON lines with texts or chats, CSV, Parquet.

Not here: how rows are read (`offline/rows.py`), and cutting into windows (`calibration.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from honed.api.offline.rows import format_of, read_rows
from honed.errors import FormatError, ParameterError, TemplateError
from honed.text.chat_template import ChatTemplate
from honed.text.corpora import read_text
from honed.text.tokenizer import Tokenizer

MESSAGES = "messages"
TEXTS = ("text", "prompt", "content")
"""Columns that hold a text, the first one that a row has."""


def read_documents(path: Path, tokenizer: Tokenizer) -> Iterator[list[int]]:
    """The tokens of each document. Of `.txt` the whole file is one; rows of others have `messages`, which are put into
    the chat template, or a text.

    SourceError where it cannot be read, ParameterError for another suffix, FormatError naming the row that is malformed
    or has neither, TemplateError where the template refuses its messages.
    """
    if format_of(path, "calibration.text") == "txt":
        yield tokenizer.encode(read_text(path).text, add_special=False)
        return
    template: ChatTemplate | None = None
    try:
        for number, row in enumerate(read_rows(path), 1):
            if row.error is not None:
                raise FormatError(path, f"row {number}", row.error)
            if isinstance(row.fields.get(MESSAGES), list):
                template = template or _template(path, number, tokenizer)
                text = _rendered(path, number, template, row.fields[MESSAGES])
            else:
                text = _text(path, number, row.fields)
            yield tokenizer.encode(text, add_special=False)
    finally:
        if template is not None:
            template.close()


def _template(path: Path, number: int, tokenizer: Tokenizer) -> ChatTemplate:
    if tokenizer.chat_template is None:
        raise FormatError(path, f"row {number}: {MESSAGES}", "need a chat template, and the model has none")
    return ChatTemplate(tokenizer.chat_template, tokenizer.special_tokens)


def _rendered(path: Path, number: int, template: ChatTemplate, messages: list[Any]) -> str:
    try:
        return template.render(messages, add_generation_prompt=False)
    except (ParameterError, TemplateError) as error:
        raise FormatError(path, f"row {number}: {MESSAGES}", f"are refused by the chat template: {error}") from error


def _text(path: Path, number: int, fields: Mapping[str, Any]) -> str:
    for name in TEXTS:
        if isinstance(fields.get(name), str):
            return str(fields[name])
    raise FormatError(path, f"row {number}", f"has neither {MESSAGES} nor one of {', '.join(TEXTS)}")
