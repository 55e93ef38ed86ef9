"""Calls as Llama 3.1 to 3.3 write them: an object of name and parameters as the whole reply, after <|python_tag|> or
without. More than one are parted by a semicolon."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from honed.text.lark import marker
from honed.text.tool_calls.base import CallParser, ToolChoice
from honed.text.tool_calls.scan import Calls, Scan, call, space
from honed.text.tool_calls.schema import chosen, json_rule, schema_of_tools
from honed.text.tool_calls.stream import CallStream

OPENING = "<|python_tag|>"
MARKERS = (OPENING,)

_KEYS = frozenset(("name", "parameters", "arguments", "type", "id"))
"""Of a call; an object with another key is an answer in JSON, which need not be held back any longer."""


@dataclass(frozen=True)
class Llama3:
    """A `ToolFormat`. tokens: which of the markers are control tokens of the vocabulary."""

    tokens: Mapping[str, int] = field(default_factory=dict)
    name: str = "llama3"

    @property
    def visible(self) -> frozenset[int]:
        """As the protocol says."""
        return frozenset(self.tokens.values())

    def parser(self, names: Collection[str]) -> CallParser:
        """As the protocol says. Without the tag an object is a call only if it names one of the tools."""
        return CallStream([OPENING], _inside, bare="{", only=names)

    def grammar(
        self, names: Sequence[str], schemas: Sequence[Mapping[str, Any]], choice: ToolChoice, *, parallel: bool
    ) -> str:
        """As the protocol says. A text that is no call does not begin with a brace."""
        tools = chosen(names, schemas, choice)
        more = ' ("; " body)*' if parallel and choice in ("auto", "required") else ""
        rules = [f"start: calls\ncalls: body{more}"]
        if choice == "auto":
            rules = [f"start: TEXT? | {marker(OPENING, self.tokens)}? calls\ncalls: body{more}"]
            rules.append(r"TEXT: /\s*[^{\s](?s:.*)/")
        return "\n".join([*rules, json_rule("body", schema_of_tools(tools, arguments="parameters"))])


def _inside(char: str, calls: Calls) -> Scan[str]:
    char = yield from space(char)
    while True:
        char = yield from call(char, calls, keys=_KEYS)
        read = ""
        while char and char in "; \t\r\n":
            read += char
            char = yield
        if char != "{":
            return read + char
