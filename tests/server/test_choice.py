"""Pieces of one choice made into deltas: nothing is lost, wherever the pieces are cut."""

from __future__ import annotations

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from honed.api.async_reply import Piece, PieceToken
from honed.api.shown_tokens import ShownTokens
from honed.backends.base import Logprobs
from honed.server.choice import Choice
from honed.server.exchange import (
    Delta,
    Ended,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallBegun,
    ToolCallDelta,
    Usage,
)
from honed.text.answer import AnswerParser
from honed.text.reasoning import detect_reasoning
from honed.text.tool_calls.detection import detect_tool_format
from honed.text.tool_calls.hermes import Hermes
from turn_tokenizers import CHATML, byte_level, turns

TOKENIZER = turns(byte_level(), CHATML + "{# <think></think> tools #}")
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>'
WHOLE = f"<think>\nso it is\n</think>\n\nLook:\n{CALL}\n{CALL}"


def choice(logprobs: int | None = None, most_calls: int | None = None) -> Choice:
    tags = detect_reasoning(TOKENIZER.chat_template, TOKENIZER)
    style = detect_tool_format(TOKENIZER.chat_template, TOKENIZER)
    assert isinstance(style, Hermes)
    return Choice(
        0,
        parser=AnswerParser(tags, style, ["weather"]),
        logprobs=logprobs,
        shown=ShownTokens(TOKENIZER.decoding),
        most_calls=most_calls,
    )


def pieces(text: str, cuts: list[int]) -> list[Piece]:
    places = [0, *sorted({cut % (len(text) + 1) for cut in cuts}), len(text)]
    parts = [text[a:b] for a, b in pairwise(places)]
    return [Piece(part, (PieceToken(5, part, part.encode(), Logprobs(-1.0, ((4, -0.5),), 1)),)) for part in parts]


def run(made: Choice, given_pieces: list[Piece]) -> list[Delta]:
    deltas = [delta for piece in given_pieces for delta in made.piece(piece)]
    return [*deltas, *made.end("stop", None, lambda: Usage(3, completion=len(given_pieces)))]


@given(st.lists(st.integers(0, 500), max_size=30))
def test_nothing_is_lost_wherever_it_is_cut(cuts: list[int]) -> None:
    given_pieces = pieces(WHOLE, cuts)
    deltas = run(choice(0), given_pieces)
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)).strip() == "Look:"
    assert "".join(delta.text for delta in deltas if isinstance(delta, ReasoningDelta)) == "so it is"
    assert [delta.number for delta in deltas if isinstance(delta, ToolCallBegun)] == [0, 1]
    for number in (0, 1):
        fragments = [d.arguments for d in deltas if isinstance(d, ToolCallDelta) and d.number == number]
        assert json.loads("".join(fragments)) == {"city": "Paris"}
    assert isinstance(deltas[-1], Ended)
    assert deltas[-1].reason == "tool_calls"
    told = [token for delta in deltas if isinstance(delta, TextDelta | ReasoningDelta) for token in delta.tokens]
    assert len(told) == len(given_pieces)


def test_one_call_where_one_is_allowed() -> None:
    deltas = run(choice(most_calls=1), pieces(WHOLE, []))
    assert [delta.number for delta in deltas if isinstance(delta, ToolCallBegun)] == [0]
    assert {delta.number for delta in deltas if isinstance(delta, ToolCallDelta)} == {0}


def test_length_wins() -> None:
    made = choice()
    made.piece(pieces(WHOLE, [])[0])
    ended = made.end("length", None, lambda: Usage(1))[-1]
    assert isinstance(ended, Ended)
    assert ended.reason == "length"


def test_the_chosen_token_is_among_the_top() -> None:
    made = Choice(2, parser=None, logprobs=1, shown=ShownTokens(TOKENIZER.decoding))
    (delta,) = made.piece(Piece("x", (PieceToken(5, "x", b"x", Logprobs(-1.25, ((4, -0.5),), 1)),)))
    assert isinstance(delta, TextDelta)
    (token,) = delta.tokens
    assert isinstance(token, TokenLogprob)
    assert token.top[-1] == (5, "x", b"x", -1.25)
    assert delta.index == 2
