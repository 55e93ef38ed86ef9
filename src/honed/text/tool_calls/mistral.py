"""Calls as Mistral's models write them: [TOOL_CALLS] and a list of objects, or, since the tokenizer's version 11,
[TOOL_CALLS], a name, [ARGS] and the arguments, for each call."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from honed.text.lark import TEXT, literal, marker, until
from honed.text.tool_calls.base import CallParser, ToolChoice
from honed.text.tool_calls.scan import Calls, MalformedCallError, Scan, call, expect, space, value, word
from honed.text.tool_calls.schema import chosen, json_rule, schema_of_tools
from honed.text.tool_calls.stream import CallStream

OPENING, ARGS, CALL_ID = MARKERS = "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"


@dataclass(frozen=True)
class Mistral:
    """A `ToolFormat`. tokens: which of the markers are control tokens of the vocabulary. named: calls are a name and
    arguments, as since version 11; the parser reads both ways."""

    tokens: Mapping[str, int] = field(default_factory=dict)
    named: bool = False
    name: str = "mistral"

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
        several = parallel and choice in ("auto", "required")
        rules = [until("head", OPENING, self.tokens), TEXT] if choice == "auto" else []
        rules = rules or [f"head: {marker(OPENING, self.tokens)}"]
        text = "TEXT | " if choice == "auto" else ""
        if self.named:
            bodies = [f"body{number}" for number in range(len(tools))]
            rules.append(f"start: {text}call{'+' if several else ''}\ncall: head ({' | '.join(bodies)})")
            for body, (name, schema) in zip(bodies, tools.items(), strict=True):
                rules.append(f"{body}: {literal(name)} {marker(ARGS, self.tokens)} {body}_arguments")
                rules.append(json_rule(f"{body}_arguments", schema))
        else:
            more = ' (", " body)*' if several else ""
            rules.append(f'start: {text}head " "? "[" body{more} "]"')
            rules.append(json_rule("body", schema_of_tools(tools)))
        return "\n".join(rules)


def _inside(char: str, calls: Calls) -> Scan[str]:
    char = yield from space(char)
    if char == "{":
        return (yield from call(char, calls))
    if char != "[":
        return (yield from _named(char, calls))
    char = yield from space((yield))
    while True:
        char = yield from call(char, calls)
        char = yield from space(char)
        if char == "]":
            return ""
        expect(char, ",")
        char = yield from space((yield))


def _named(char: str, calls: Calls) -> Scan[str]:
    name = ""
    while char not in ("", "[", "{"):
        name += char
        char = yield
    if not name.strip():
        raise MalformedCallError
    if char == "[":
        char = yield
        if char == CALL_ID[1]:
            char = yield from word(char, CALL_ID[1:])
            while char not in ("", "["):
                char = yield
            expect(char, "[")
            char = yield
        char = yield from word(char, ARGS[1:])
    char = yield from space(char)
    expect(char, "{")
    calls.begin(name.strip())
    char = yield from value(char, calls.argument)
    calls.end()
    return char
