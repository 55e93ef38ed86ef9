"""What a reply is made to look like, and how its text is read: grammar, tool calls and reasoning of one call, for one
model. Grammars compile in threads."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from honed.errors import ParameterError
from honed.server.exchange import Call, ChatCall, Tool
from honed.text.answer import AnswerParser
from honed.text.reasoning import ReasoningTags, control_tokens, detect_reasoning
from honed.text.tokenizer import Tokenizer
from honed.text.tool_calls import hermes
from honed.text.tool_calls.base import ForcedTool, ToolChoice, ToolFormat
from honed.text.tool_calls.detection import detect_tool_format

if TYPE_CHECKING:
    from honed.runtime.constraint import Constraint
    from honed.text.grammar import GrammarCompiler
    from honed.text.grammar_matcher import CompiledGrammar

LOG = logging.getLogger("honed.server")
_TAIL = 16
"""Tokens of the prompt that may spell the tag that opens the reasoning."""
_seen: set[str] = set()


@dataclass(frozen=True)
class Shape:
    """Of one call. parser: of the text of one choice, None where all of it is text. grammar: of which each choice has
    a matcher of its own. visible: control tokens that the parser reads. most_calls: tool calls of one choice."""

    parser: Callable[[], AnswerParser] | None = None
    grammar: CompiledGrammar | None = None
    visible: frozenset[int] = frozenset()
    most_calls: int | None = None

    def constraint(self) -> Constraint | None:
        """For one more choice."""
        return None if self.grammar is None else self.grammar.matcher()


class Shaper:
    """For one model. Safe for threads."""

    def __init__(self, tokenizer: Tokenizer, vocabulary: int) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._tags = detect_reasoning(tokenizer.chat_template, tokenizer)
        # Where the template knows no tools they are told in Hermes' form (`server/told_tools.py`).
        told = hermes.Hermes(control_tokens(tokenizer, hermes.MARKERS))
        self._format = detect_tool_format(tokenizer.chat_template, tokenizer) or told
        self._made: GrammarCompiler | None = None

    def shape(self, call: Call, prompt: Sequence[int]) -> Shape:
        """ParameterError for a grammar or a schema that is not supported, naming the field that has it."""
        if not isinstance(call, ChatCall):
            return Shape(grammar=self._grammar(call, None))
        tags = self._tags
        if tags is not None:
            tags = tags.after(self._tokenizer.decode(prompt[-_TAIL:], skip_special=False))
        tools = call.tools if call.tool_choice != "none" else ()
        style = self._format if tools else None
        if tools and call.grammar is not None and (call.tool_choice == "required" or call.forced_tool):
            raise ParameterError(call.grammar.parameter, call.grammar.kind, "cannot be had beside a required tool call")
        grammar = self._grammar(call, tags)
        if style is not None and grammar is None:
            grammar = self._tool_grammar(call, style, tools, tags)
        if tags is None and style is None:
            return Shape(grammar=grammar)
        names = [tool.name for tool in tools]
        visible = (tags.visible if tags else frozenset()) | (style.visible if style else frozenset())
        return Shape(
            parser=lambda: AnswerParser(tags, style, names),
            grammar=grammar,
            visible=visible,
            most_calls=None if call.parallel_tool_calls else 1,
        )

    def _grammar(self, call: Call, tags: ReasoningTags | None) -> CompiledGrammar | None:
        asked = call.grammar
        if asked is None:
            return None
        return self._compiler.compile(asked.kind, asked.source, parameter=asked.parameter, tags=tags)

    def _tool_grammar(
        self, call: ChatCall, style: ToolFormat, tools: Sequence[Tool], tags: ReasoningTags | None
    ) -> CompiledGrammar | None:
        asked: ToolChoice = "required" if call.tool_choice == "required" else "auto"
        if call.forced_tool is not None:
            asked = ForcedTool(call.forced_tool)
        grammar = self._compiler.compile_tools(
            style,
            tools,
            asked,
            parallel=call.parallel_tool_calls,
            tags=tags,
        )
        for warning in grammar.warnings:
            if warning not in _seen and len(_seen) < 1000:
                _seen.add(warning)
                LOG.warning("%s", warning)
        return grammar

    @property
    def _compiler(self) -> GrammarCompiler:
        if self._made is None:
            from honed.text.grammar import GrammarCompiler  # needs a library that plain replies do without

            self._made = GrammarCompiler(self._tokenizer, self._vocabulary)
        return self._made
