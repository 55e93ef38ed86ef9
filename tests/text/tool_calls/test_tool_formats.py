"""What all formats of tool calls promise; the files of the formats are too much alike for tests of their own."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byte_tokenizers import byte_tokenizer, token_id
from honed.errors import ParameterError
from honed.text.detokenizer import Detokenizer
from honed.text.grammar import GrammarCompiler
from honed.text.grammar_matcher import CompiledGrammar
from honed.text.reasoning import ReasoningTags
from honed.text.tokenizer import Tokenizer
from honed.text.tool_calls.base import (
    CallArguments,
    CallBegun,
    CallEnded,
    CallEvent,
    ForcedTool,
    TextPart,
    ToolChoice,
    ToolFormat,
)
from honed.text.tool_calls.hermes import Hermes
from honed.text.tool_calls.llama3 import Llama3
from honed.text.tool_calls.mistral import Mistral

bounded = settings(deadline=None, max_examples=60, derandomize=True)
MARKS = ["<tool_call>", "</tool_call>", "<|python_tag|>", "[TOOL_CALLS]", "[ARGS]"]


@dataclass(frozen=True)
class Tool:
    name: str
    parameters: dict[str, Any]
    strict: bool = False
    description: str = field(default="")


TOOLS = [
    Tool(
        "weather",
        {
            "type": "object",
            "properties": {"city": {"$ref": "#/$defs/city"}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
            "required": ["city"],
            "additionalProperties": False,
            "$defs": {"city": {"type": "string", "maxLength": 4}},
        },
    ),
    Tool(
        "tree",
        {
            "type": "object",
            "properties": {"sub": {"type": "array", "items": {"$ref": "#"}, "maxItems": 1}},
            "additionalProperties": False,
        },
    ),
]
NAMES = [tool.name for tool in TOOLS]
ARGUMENTS = [{"city": 'a"é'}, {"sub": [{"sub": []}]}]


@cache
def tokenizer(control: bool) -> Tokenizer:
    words = ["name", "arguments", "parameters", '{"', '":']
    return byte_tokenizer(control=MARKS if control else [], words=words)


@cache
def compiler(control: bool) -> GrammarCompiler:
    return GrammarCompiler(tokenizer(control), tokenizer(control).size)


def marks(control: bool, *spelled: str) -> dict[str, int]:
    return {mark: token_id(tokenizer(True), mark) for mark in spelled} if control else {}


def formats(control: bool) -> list[ToolFormat]:
    return [
        Hermes(marks(control, "<tool_call>", "</tool_call>")),
        Llama3(marks(control, "<|python_tag|>")),
        Mistral(marks(control, "[TOOL_CALLS]")),
        Mistral(marks(control, "[TOOL_CALLS]", "[ARGS]"), named=True),
    ]


def written(style: ToolFormat, calls: Sequence[tuple[str, Any]]) -> str:
    """Calls as the family writes them."""

    def dump(name: str, arguments: Any, key: str) -> str:
        return json.dumps({"name": name, key: arguments}, ensure_ascii=False)

    if isinstance(style, Hermes):
        return "\n".join(f"<tool_call>\n{dump(*call, 'arguments')}\n</tool_call>" for call in calls)
    if isinstance(style, Llama3):
        return "; ".join(dump(*call, "parameters") for call in calls)
    assert isinstance(style, Mistral)
    if style.named:
        return "".join(f"[TOOL_CALLS]{name}[ARGS]{json.dumps(value, ensure_ascii=False)}" for name, value in calls)
    return f"[TOOL_CALLS] [{', '.join(dump(*call, 'arguments') for call in calls)}]"


def read(style: ToolFormat, pieces: Iterable[str]) -> list[CallEvent]:
    parser = style.parser(NAMES)
    events = [event for piece in pieces for event in parser.feed(piece)]
    return joined([*events, *parser.finish()])


def joined(events: Iterable[Any]) -> list[Any]:
    """Neighbours of one kind as one event."""
    found: list[Any] = []
    for event in events:
        last = found[-1] if found else None
        if isinstance(event, TextPart) and isinstance(last, TextPart):
            found[-1] = TextPart(last.text + event.text)
        elif isinstance(event, CallArguments) and isinstance(last, CallArguments):
            assert event.number == last.number
            found[-1] = CallArguments(event.number, last.fragment + event.fragment)
        else:
            found.append(event)
    return found


def call(number: int, name: str, arguments: str) -> list[CallEvent]:
    return [CallBegun(number, name), CallArguments(number, arguments), CallEnded(number, complete=True)]


def cut(text: str, seed: int) -> list[str]:
    draw = random.Random(seed)
    pieces = []
    while text:
        size = draw.choice([1, 1, 2, 3, 7, 30])
        pieces.append(text[:size])
        text = text[size:]
    return pieces


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)
arguments = st.dictionaries(st.text(max_size=4), values, max_size=3)
styles = st.sampled_from(formats(False))


@bounded
@given(styles, st.lists(st.tuples(st.sampled_from(NAMES), arguments), min_size=1, max_size=3), st.integers(0, 99))
def test_calls_are_read_however_they_are_cut(style: ToolFormat, calls: list[tuple[str, Any]], seed: int) -> None:
    text = written(style, calls)
    events = read(style, cut(text, seed))
    wanted = [call(n, name, json.dumps(value, ensure_ascii=False)) for n, (name, value) in enumerate(calls)]
    assert events == [event for one in wanted for event in one]


junk = st.lists(
    st.sampled_from(
        [
            *(*MARKS, "<tool", "[TOOL", "{", "}", "[", "]", '"', "\\", ",", ":", ";", " ", "\n", "x", "weather"),
            *('"name": "weather"', '"arguments": {', '"parameters": {}', '{"name": "tree", "arguments": {"a": ["]"]}}'),
        ]
    ),
    max_size=12,
).map("".join)


@settings(bounded, max_examples=400)
@given(styles, junk, st.integers(0, 99))
def test_anything_is_read_the_same_however_it_is_cut(style: ToolFormat, text: str, seed: int) -> None:
    whole = read(style, [text])
    assert read(style, cut(text, seed)) == whole
    assert read(style, text) == whole
    begun = [event.number for event in whole if isinstance(event, CallBegun)]
    ended = [event.number for event in whole if isinstance(event, CallEnded)]
    assert begun == ended == list(range(len(begun)))
    if not begun:
        assert "".join(event.text for event in whole if isinstance(event, TextPart)) == text


OPENINGS = {"hermes": "<tool_call>", "llama3": "<|python_tag|>", "mistral": "[TOOL_CALLS]"}


@bounded
@given(styles, st.lists(st.sampled_from(["a", "<", "[", "{", " ", "\n", "<tool_", "<|python", "[TOOL_C"]), max_size=9))
def test_only_what_may_become_a_marker_is_held_back(style: ToolFormat, pieces: list[str]) -> None:
    parser = style.parser(NAMES)
    given_out = so_far = ""
    for piece in pieces:
        given_out += "".join(event.text for event in parser.feed(piece) if isinstance(event, TextPart))
        so_far += piece
        assert so_far.startswith(given_out)
        held = so_far[len(given_out) :]
        # White space at the beginning goes with the call that may follow; Llama's calls have no marker there.
        begun = held if given_out else held.lstrip()
        bare = style.name == "llama3" and not given_out and begun.startswith("{")
        assert bare or OPENINGS[style.name].startswith(begun)


@pytest.mark.parametrize("style", formats(False)[:1])
def test_text_around_calls(style: ToolFormat) -> None:
    text = "Let me see.\n" + written(style, [("weather", {"city": "x"})]) + "\n"
    assert read(style, [text]) == [TextPart("Let me see.\n"), *call(0, "weather", '{"city": "x"}')]
    after = text + "And so."
    assert read(style, [after]) == [*read(style, [text]), TextPart("\nAnd so.")]


@pytest.mark.parametrize(
    ("style", "text", "events"),
    [
        (Hermes(), '<tool_call>{"arguments": {"a": 1}, "name": "f"}</tool_call>', call(0, "f", '{"a": 1}')),
        (Hermes(), '<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>', call(0, "f", '{"a": 1}')),
        (Hermes(), '<tool_call>{"name": "f"}</tool_call>', call(0, "f", "{}")),
        (Hermes(), '<tool_call>{"name": "f", "arguments": null}</tool_call>', call(0, "f", "{}")),
        (Hermes(), '<tool_call>\n{"name": "f", "arguments": {}}', call(0, "f", "{}")),
        (Hermes(), "<tool_call>{oh}</tool_call>", [TextPart("<tool_call>{oh}</tool_call>")]),
        (Hermes(), '<tool_call>{"name": "f', [TextPart('<tool_call>{"name": "f')]),
        (
            Hermes(),
            '<tool_call>{"name": "f", "arguments": {"a": "b',
            [CallBegun(0, "f"), CallArguments(0, '{"a": "b'), CallEnded(0, complete=False)],
        ),
        (Llama3(), '<|python_tag|>{"name": "f", "parameters": {"q": "}"}}', call(0, "f", '{"q": "}"}')),
        (Llama3(), '{"name": "tree", "parameters": {}}', call(0, "tree", "{}")),
        (Llama3(), '{"name": "Bob", "parameters": {}}', [TextPart('{"name": "Bob", "parameters": {}}')]),
        (Llama3(), ' {"answer": 1}', [TextPart(' {"answer": 1}')]),
        (Mistral(), '[TOOL_CALLS][{"name": "f", "arguments": {}, "id": "123456789"}]', call(0, "f", "{}")),
        (Mistral(), '[TOOL_CALLS]f[CALL_ID]abc[ARGS]{"a": {}}', call(0, "f", '{"a": {}}')),
        (Mistral(), "[TOOL_CALLS] what", [TextPart("[TOOL_CALLS] what")]),
    ],
)
def test_the_ways_of_the_families(style: ToolFormat, text: str, events: list[CallEvent]) -> None:
    assert read(style, [text]) == events
    assert read(style, text) == events


def test_an_answer_in_json_is_not_held_back() -> None:
    parser = Llama3().parser(NAMES)
    assert parser.feed('{"answer": "so') == [TextPart('{"answer": "so')]
    assert parser.feed(" much") == [TextPart(" much")]


def tokens_of(control: bool, text: str) -> list[int]:
    return tokenizer(control).encode(text, add_special=False)


def accepts(compiled: CompiledGrammar, control: bool, text: str) -> bool:
    matcher = compiled.matcher()
    for token in tokens_of(control, text):
        (row,) = matcher.masks(())
        if not int(row[token >> 5]) >> (token & 31) & 1:
            return False
        matcher.accept(token)
    end = min(tokenizer(control).end_tokens)
    return bool(int(matcher.masks(())[0][end >> 5]) >> (end & 31) & 1)


@pytest.mark.parametrize("control", [False, True])
@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("choice", ["auto", "required", ForcedTool("tree")])
@pytest.mark.parametrize("parallel", [False, True])
def test_the_grammar_allows_the_calls_of_its_choice(
    control: bool, number: int, choice: ToolChoice, parallel: bool
) -> None:
    style = formats(control)[number]
    compiled = compiler(control).compile_tools(style, TOOLS, choice, parallel=parallel)
    first, second = zip(NAMES, ARGUMENTS, strict=True)
    forced = isinstance(choice, ForcedTool)
    assert accepts(compiled, control, written(style, [second]))
    assert accepts(compiled, control, written(style, [first])) is not forced
    assert accepts(compiled, control, written(style, [first, second])) is (parallel and not forced)
    assert accepts(compiled, control, "Some text.") is (choice == "auto")
    if not isinstance(style, Llama3):
        assert accepts(compiled, control, "Some text.\n" + written(style, [second])) is (choice == "auto")
    assert not accepts(compiled, control, written(style, [("tree", {"sub": 5})]))
    assert not accepts(compiled, control, written(style, [("other", {})]))
    assert not compiled.warnings


@pytest.mark.parametrize("control", [False, True])
@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("seed", range(4))
def test_what_is_written_under_the_grammar_is_a_call(control: bool, number: int, seed: int) -> None:
    style = formats(control)[number]
    matcher = compiler(control).compile_tools(style, TOOLS, "required", parallel=False).matcher()
    text = tokenizer(control).decoding
    stream = Detokenizer(text)
    parser = style.parser(NAMES)
    draw = random.Random(seed)
    events: list[CallEvent] = []
    for _ in range(2000):
        (row,) = matcher.masks(())
        allowed = [t for t in range(tokenizer(control).size) if int(row[t >> 5]) >> (t & 31) & 1]
        token = draw.choice(allowed)
        if token in tokenizer(control).end_tokens:
            break
        events += parser.feed(stream.hidden(token) if token in style.visible else stream.feed(token))
        matcher.accept(token)
    begun, value, ended = joined([*events, *parser.feed(stream.finish()), *parser.finish()])
    assert isinstance(begun, CallBegun)
    assert begun.name in NAMES
    assert ended == CallEnded(0, complete=True)
    found = json.loads(value.fragment)
    assert found.keys() <= TOOLS[NAMES.index(begun.name)].parameters["properties"].keys()


@pytest.mark.parametrize("control", [False, True])
@pytest.mark.parametrize("number", range(4))
def test_masks_of_proposals_are_those_of_steps_and_take_nothing_with_them(control: bool, number: int) -> None:
    style = formats(control)[number]
    compiled = compiler(control).compile_tools(style, TOOLS, "auto")
    calls = written(style, list(zip(NAMES, ARGUMENTS, strict=True)))
    text = tokens_of(control, calls if isinstance(style, Llama3) else f"Well [<tool: \n{calls}")
    proposing, plain = compiled.matcher(), compiled.matcher()
    draw = random.Random(number)
    for index, token in enumerate(text):
        wild = [draw.randrange(tokenizer(control).size) for _ in range(draw.randrange(3))]
        proposal = [*text[index : index + draw.randrange(6)], *wild]
        rows = proposing.masks(proposal)
        steps = compiled.matcher()
        for earlier in text[:index]:
            steps.accept(earlier)
        for number_of_row, row in enumerate(rows):
            assert (row == steps.masks(())[0]).all()
            if number_of_row + 1 < len(rows):
                steps.accept(proposal[number_of_row])
        assert (rows[0] == plain.masks(())[0]).all()
        proposing.accept(token)
        plain.accept(token)


def test_a_schema_that_is_not_supported() -> None:
    odd = Tool("odd", {"type": "object", "properties": {"a": {"uniqueItems": True}}})
    compiled = compiler(False).compile_tools(Hermes(), [*TOOLS, odd], "required")
    (warning,) = compiled.warnings
    assert "tools: odd: parameters: /properties/a/uniqueItems" in warning
    assert accepts(compiled, False, written(Hermes(), [("odd", {"z": 1})]))
    assert not accepts(compiled, False, written(Hermes(), [("tree", {"z": 1})]))
    with pytest.raises(ParameterError, match="uniqueItems"):
        compiler(False).compile_tools(Hermes(), [Tool("odd", odd.parameters, strict=True)], "auto")
    with pytest.raises(ParameterError, match="tool_choice"):
        compiler(False).compile_tools(Hermes(), TOOLS, ForcedTool("no"))


def test_calls_after_reasoning() -> None:
    tags = ReasoningTags("<think>", "</think>", {})
    compiled = compiler(False).compile_tools(Hermes(), TOOLS, "required", tags=tags)
    body = written(Hermes(), [("tree", {})])
    assert accepts(compiled, False, f"<think>which <tool_call>?</think>\n\n{body}")
    assert not accepts(compiled, False, "<think>which?</think>\n\nText")
