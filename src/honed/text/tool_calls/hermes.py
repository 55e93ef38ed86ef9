"""Calls as Hermes 2 Pro and Qwen 2.5 and 3 write them: <tool_call>, an object, </tool_call>."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from honed.text.lark import TEXT, marker, until
from honed.text.tool_calls.base import CallParser, ToolChoice
from honed.text.tool_calls.scan import Calls, Scan, call, closing, space
from honed.text.tool_calls.schema import chosen, json_rule, schema_of_tools
from honed.text.tool_calls.stream import CallStream

OPENING, CLOSING = MARKERS = "<tool_call>", "</tool_call>"


@dataclass(frozen=True)
class Hermes:
    """A `ToolFormat`. tokens: which of the markers are control tokens of the vocabulary."""

    tokens: Mapping[str, int] = field(default_factory=dict)
    name: str = "hermes"

    @property
    def visible(self) -> frozenset[int]:
        """As the protocol says."""
        return frozenset(self.tokens.values())

    def parser(self, names: Collection[str]) -> CallParser:
        """As the protocol says."""
        return CallStream([OPENING], _inside)

    def grammar(
        self, names: Sequence[str], schemas: Sequence[Mapping[str, Any]], choice: ToolChoice, *, parallel: bool
    ) -> str:
        """As the protocol says."""
        tools = chosen(names, schemas, choice)
        rest = f'"\\n" body "\\n" {marker(CLOSING, self.tokens)}'
        if choice == "auto":
            rules = [f"start: TEXT | call{'+' if parallel else ''}", until("head", OPENING, self.tokens), TEXT]
            rules.append(f"call: head {rest}")
        else:
            more = ' ("\\n" call)*' if parallel and choice == "required" else ""
            rules = [f"start: call{more}", f"call: {marker(OPENING, self.tokens)} {rest}"]
        return "\n".join([*rules, json_rule("body", schema_of_tools(tools))])


def _inside(char: str, calls: Calls) -> Scan[str]:
    char = yield from space(char)
    char = yield from call(char, calls)
    return (yield from closing(char, CLOSING))
