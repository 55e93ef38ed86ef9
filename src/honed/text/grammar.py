"""Grammars that a reply is held to, compiled for one vocabulary.

Here: JSON, JSON schemas, regular expressions, Lark grammars, texts to choose from, and tool calls, each alone or after
reasoning. The library is llguidance (extra `grammar`), whose own limits bound time and memory; this file and
`text/grammar_*.py` are its only users. Not here: what is refused before it sees it (`text/grammar_bounds.py`), and the
state of a request (`text/grammar_matcher.py`).

JSON is written as `json.dumps` writes it: a space after each comma and colon, and no other. Free white space is where
small models lose themselves, and what has only one spelling can be proposed ahead. Properties come in the order of the
schema; names that it does not list come after them and may come twice, where its `additionalProperties` says that there
may be any.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Literal

from honed.errors import ParameterError, UnsupportedError
from honed.text.grammar_bounds import check_lark, check_regex, checked_schema, parsed_choices, parsed_schema
from honed.text.lark import TEXT, literal, marker, until
from honed.text.reasoning import ReasoningTags
from honed.text.tokenizer import Tokenizer
from honed.text.tool_calls.base import ToolChoice, ToolDefinition, ToolFormat
from honed.text.tool_calls.schema import JSON_STYLE

try:
    import llguidance

    from honed.text.grammar_matcher import CompiledGrammar, problem_in
    from honed.text.grammar_vocabulary import grammar_vocabulary
except ImportError:
    raise UnsupportedError(
        "a grammar needs llguidance, which is in the extra grammar: pip install 'honed[grammar]'"
    ) from None

GrammarKind = Literal["json_object", "json_schema", "regex", "lark", "choice"]

CACHED_GRAMMARS = 64
CACHED_CHARACTERS = 4 * 1024 * 1024
"""Of the sources of the grammars that are kept: a compiled one takes some ten times that."""
CACHED_GROWING = 8
"""Of those kept, so many whose automaton grows with what is generated, by up to 50 MB each."""

# Half a kilobyte each, made as texts are generated, and shared by the requests of one grammar. A text with a greatest
# length makes some ten for a token, a small part of what the keys and values of that token take.
_STATES = 100_000
# A regular expression may make thousands for a token, and 64 requests may each have one of their own.
_STATES_OF_REGEX = 20_000


def _limits(states: int) -> llguidance.LLParserLimits:
    return llguidance.LLParserLimits(
        max_lexer_states=states,
        # Each optional property of an object is four items.
        max_items_in_row=4000,
        verbose_errors=False,
    )


class GrammarCompiler:
    """Compiles for one tokenizer, and keeps what was compiled last. Safe for threads."""

    def __init__(self, tokenizer: Tokenizer, vocabulary: int) -> None:
        """vocabulary: the width of the model's logits."""
        self._tokenizer = grammar_vocabulary(tokenizer, vocabulary)
        self._words = (self._tokenizer.vocab_size + 31) // 32
        self._vocabulary = vocabulary
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, tuple[int, CompiledGrammar]] = OrderedDict()
        self._growing: OrderedDict[bytes, None] = OrderedDict()
        """Those of `_kept` whose automaton grows, in the same order."""
        self._characters = 0

    def compile(
        self,
        kind: GrammarKind,
        source: str = "",
        *,
        parameter: str = "response_format",
        tags: ReasoningTags | None = None,
    ) -> CompiledGrammar:
        """The grammar of a whole reply.

        source: of json_object empty, of json_schema JSON text, of choice a JSON list of texts. regex: all of the text
        matches. tags: the reply may begin with reasoning, which the grammar does not hold for. A keyword that is not
        supported, a grammar that does not compile, that is too large, or that no text satisfies: ParameterError of
        `parameter`.
        """
        try:
            key = _key(kind, source, tags)
        except UnicodeEncodeError:
            raise ParameterError(parameter, source, "must be Unicode text, without surrogates") from None
        if (found := self._found(key)) is not None:
            return found
        body: dict[str, Any]
        match kind:
            case "json_object":
                body = {"json_schema": {"type": "object", "x-guidance": JSON_STYLE}}
            case "json_schema":
                body = {"json_schema": parsed_schema(source, parameter) | {"x-guidance": JSON_STYLE}}
            case "regex":
                check_regex(source, parameter)
                body = json.loads(llguidance.LLMatcher.grammar_from_regex(source))["grammars"][0]
            case "choice":
                texts = " | ".join(map(literal, parsed_choices(source, parameter)))
                body = {"lark_grammar": f"start: CHOICE\nCHOICE: {texts}"}
            case "lark":
                check_lark(source, parameter)
                body = {"lark_grammar": source}
        return self._keep(
            key, len(source), self._compiled(body, source or kind, parameter, tags, kind in ("regex", "lark"))
        )

    def compile_tools(
        self,
        style: ToolFormat,
        tools: Sequence[ToolDefinition],
        choice: ToolChoice,
        *,
        parallel: bool = True,
        tags: ReasoningTags | None = None,
        parameter: str = "tools",
    ) -> CompiledGrammar:
        """The grammar of a reply that may call tools (auto), has to (required), or has to call the one that `choice`
        gives. parallel: more than one call.

        A strict tool whose schema is not supported: ParameterError. Of another one the arguments are any object then,
        and the grammar has a warning.
        """
        schemas: list[dict[str, Any]] = []
        warnings: list[str] = []
        for tool in tools:
            where = f"{parameter}: {tool.name}: parameters"
            try:
                source = json.dumps(tool.parameters)
                self.compile("json_schema", source, parameter=where)
                schemas.append(checked_schema(tool.parameters, where))
            except (TypeError, ValueError, RecursionError):
                raise ParameterError(where, type(tool.parameters).__name__, "must be a JSON schema") from None
            except ParameterError as error:
                if tool.strict:
                    raise
                schemas.append({"type": "object"})
                warnings.append(f"{error}; as the tool is not strict, its arguments may be any object")
        source = style.grammar([tool.name for tool in tools], schemas, choice, parallel=parallel)
        key = _key("tools", source, tags)
        compiled = self._found(key)
        if compiled is None:
            check_lark(source, parameter)
            compiled = self._compiled({"lark_grammar": source}, [tool.name for tool in tools], parameter, tags)
            self._keep(key, len(source), compiled)
        return compiled.with_warnings(warnings) if warnings else compiled

    def _compiled(
        self, body: dict[str, Any], source: object, parameter: str, tags: ReasoningTags | None, regex: bool = False
    ) -> CompiledGrammar:
        """regex: whether it holds regular expressions of the caller's."""
        grammars = [body] if tags is None else [{"lark_grammar": _thought(tags)}, {"name": "body", **body}]
        text = json.dumps({"grammars": grammars})
        regex = regex or "pattern" in text
        grows = regex or "maxLength" in text or "minLength" in text
        try:
            matcher = llguidance.LLMatcher(
                self._tokenizer, text, log_level=0, limits=_limits(_STATES_OF_REGEX if regex else _STATES)
            )
        except ValueError as error:
            raise ParameterError(parameter, source, f"does not compile: {problem_in(str(error))}") from None
        if matcher.is_error():
            raise ParameterError(parameter, source, f"does not compile: {problem_in(matcher.get_error())}")
        # The first mask is computed on the one that is copied, which keeps what was found for it.
        mask = matcher.compute_bitmask()
        if not any(mask) or (matcher.is_stopped() and not matcher.is_accepting() and _ended(matcher)):
            raise ParameterError(parameter, source, "must be one that some text satisfies")
        if matcher.is_error():
            raise ParameterError(parameter, source, f"is too complex: {problem_in(matcher.get_error())}")
        _check_rollback(matcher.deep_copy(), mask, source, parameter)
        return CompiledGrammar(matcher, self._vocabulary, self._words, grows=grows)

    def _found(self, key: bytes) -> CompiledGrammar | None:
        with self._lock:
            if (found := self._kept.get(key)) is None:
                return None
            self._kept.move_to_end(key)
            if key in self._growing:
                self._growing.move_to_end(key)
            return found[1]

    def _keep(self, key: bytes, characters: int, compiled: CompiledGrammar) -> CompiledGrammar:
        with self._lock:
            if (old := self._kept.pop(key, None)) is not None:
                self._characters -= old[0]
            self._kept[key] = (characters, compiled)
            self._characters += characters
            if compiled.grows:
                self._growing[key] = None
                self._growing.move_to_end(key)
            while len(self._growing) > CACHED_GROWING:
                self._drop(next(iter(self._growing)))
            while len(self._kept) > CACHED_GRAMMARS or self._characters > CACHED_CHARACTERS:
                self._drop(next(iter(self._kept)))
        return compiled

    def _drop(self, key: bytes) -> None:
        self._characters -= self._kept.pop(key)[0]
        self._growing.pop(key, None)


def _thought(tags: ReasoningTags) -> str:
    """Reasoning, and `@body`."""
    begun = "thought SPACE?"
    if not tags.opened:
        begun = f"({marker(tags.opening, tags.tokens)} {begun})?"
    return f"""start: {begun} @body
{until("thought", tags.closing, tags.tokens)}
{TEXT}
SPACE: /\\n{{1,2}}/
"""


def _ended(matcher: llguidance.LLMatcher) -> bool:
    """Whether the reason for no text is that none goes on, and no limit."""
    return not matcher.is_error() or "NoExtension" in matcher.get_error()


def _check_rollback(matcher: llguidance.LLMatcher, mask: bytes, source: object, parameter: str) -> None:
    """What cannot be taken back cannot be proposed ahead: lexemes with max_tokens or stop."""
    first = next(index * 8 + bit for index, byte in enumerate(mask) if byte for bit in range(8) if byte >> bit & 1)
    if not matcher.consume_token(first) or not matcher.rollback(1):
        problem = problem_in(matcher.get_error())
        raise ParameterError(parameter, source, f"uses what is not supported: {problem}")


def _key(kind: str, source: str, tags: ReasoningTags | None) -> bytes:
    shown = None if tags is None else (tags.opening, tags.closing, sorted(tags.tokens.items()), tags.opened)
    return hashlib.sha256(f"{kind}\0{shown}\0".encode() + source.encode()).digest()
