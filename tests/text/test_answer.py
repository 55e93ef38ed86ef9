from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from honed.text.answer import AnswerEvent, AnswerParser, ReasoningPart
from honed.text.reasoning import ReasoningTags
from honed.text.tool_calls.base import CallArguments, CallBegun, CallEnded, TextPart
from honed.text.tool_calls.hermes import Hermes

THINK = ReasoningTags("<think>", "</think>", {})
REPLY = (
    "<think>\nThe weather; <tool_call> it is.\n</think>\n\nI look.\n"
    '<tool_call>\n{"name": "weather", "arguments": {"city": "Köln"}}\n</tool_call>\n'
    '<tool_call>\n{"name": "weather", "arguments": {}}\n</tool_call>'
)


def joined(events: list[AnswerEvent]) -> list[Any]:
    found: list[Any] = []
    for event in events:
        if isinstance(event, TextPart | ReasoningPart) and found and type(found[-1]) is type(event):
            found[-1] = type(event)(found[-1].text + event.text)
        elif found and isinstance(event, CallArguments) and isinstance(found[-1], CallArguments):
            found[-1] = CallArguments(event.number, found[-1].fragment + event.fragment)
        else:
            found.append(event)
    return found


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.lists(st.integers(0, len(REPLY)), max_size=20))
def test_a_reply_of_everything(cuts: list[int]) -> None:
    parser = AnswerParser(THINK, Hermes(), ["weather"])
    places = [0, *sorted(cuts), len(REPLY)]
    events: list[AnswerEvent] = []
    for start, end in pairwise(places):
        events += parser.feed(REPLY[start:end])
    assert joined([*events, *parser.finish()]) == [
        ReasoningPart("The weather; <tool_call> it is."),
        TextPart("I look.\n"),
        CallBegun(0, "weather"),
        CallArguments(0, '{"city": "Köln"}'),
        CallEnded(0, complete=True),
        CallBegun(1, "weather"),
        CallArguments(1, "{}"),
        CallEnded(1, complete=True),
    ]


def test_what_is_not_asked_for_stays_text() -> None:
    parser = AnswerParser(None, None)
    assert [parser.feed(REPLY), parser.finish()] == [[TextPart(REPLY)], []]
    assert not parser.reasoning
    assert parser.feed("") == []


def test_arguments_come_as_they_are_written() -> None:
    parser = AnswerParser(None, Hermes(), ["f"])
    assert parser.feed('<tool_call>\n{"name": "f", "argu') == []
    assert parser.feed('ments": {"a') == [CallBegun(0, "f"), CallArguments(0, '{"a')]
    assert parser.feed('": 1}') == [CallArguments(0, '": 1}')]
    assert parser.feed("}") == [CallEnded(0, complete=True)]
    assert [*parser.feed("\n</tool_call>"), *parser.finish()] == []


def test_reasoning_is_known_while_it_comes() -> None:
    parser = AnswerParser(THINK.after("<think>\n"), None)
    known: list[object] = [parser.reasoning]
    for piece in ["so", "</think>\n\n", "It is."]:
        known.append((parser.feed(piece), parser.reasoning))
    assert known == [True, ([ReasoningPart("so")], True), ([], False), ([TextPart("It is.")], False)]
