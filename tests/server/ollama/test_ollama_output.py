"""Replies in Ollama's form: lines and whole ones agree."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ollama import ChatResponse, GenerateResponse

from honed.server.errors import Fault
from honed.server.exchange import Admitted, Delta, Ended, Quiet, ReasoningDelta, TextDelta, TokenLogprob, Usage
from honed.server.ollama.output import Kind, OllamaWriter, Output, ollama_error
from honed.server.ollama.shapes import ChatDone, GenerateDone
from scripted_replies import answer, call, scripts


def played(deltas: list[Delta], kind: Kind = "chat") -> tuple[Output, list[dict[str, Any]]]:
    output = Output("tiny", kind)
    output.begin()
    return output, [line for delta in deltas for line in output.take(delta)]


def test_a_chat() -> None:
    output, lines = played(answer(ReasoningDelta(0, "hm"), TextDelta(0, "Hi "), TextDelta(0, "you")))
    assert [line["message"] for line in lines] == [
        {"role": "assistant", "content": "", "thinking": "hm"},
        {"role": "assistant", "content": "Hi "},
        {"role": "assistant", "content": "you"},
        {"role": "assistant", "content": ""},
    ]
    assert [line["done"] for line in lines] == [False, False, False, True]
    assert output.whole["message"] == {"role": "assistant", "content": "Hi you", "thinking": "hm"}
    assert (lines[-1]["done_reason"], lines[-1]["prompt_eval_count"], lines[-1]["eval_count"]) == ("stop", 7, 5)


def test_a_text() -> None:
    output, lines = played(answer(TextDelta(0, "Hi"), reason="length"), "generate")
    assert [line["response"] for line in lines] == ["Hi", ""]
    assert (output.whole["response"], output.whole["done_reason"]) == ("Hi", "length")


def test_calls_come_whole() -> None:
    output, lines = played(answer(*call(0, "look", '{"a"', ": 1}"), *call(1, "find"), reason="tool_calls"))
    first = {"function": {"index": 0, "name": "look", "arguments": {"a": 1}}}
    second = {"function": {"index": 1, "name": "find", "arguments": {}}}
    assert [line["message"].get("tool_calls") for line in lines] == [[first], [second], None]
    assert output.whole["message"]["tool_calls"] == [first, second]
    assert output.whole["done_reason"] == "stop"


def test_durations() -> None:
    ticks = itertools.count(0, 10)
    output = Output("tiny", "chat", clock=lambda: next(ticks))
    output.begin()
    for delta in answer(TextDelta(0, "a"), TextDelta(0, "b")):
        output.take(delta)
    last = output.last
    assert (last["load_duration"], last["prompt_eval_duration"]) == (10, 10)
    assert (last["eval_duration"], last["total_duration"]) == (10, 30)


def test_logprobs() -> None:
    token = TokenLogprob(5, "Hi", b"Hi", -0.5, ((5, "Hi", b"Hi", -0.5),))
    output, lines = played(answer(TextDelta(0, "Hi", (token,)), TextDelta(0, "Hi", (token,))))
    entry = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105]}
    assert lines[0]["logprobs"] == [{**entry, "top_logprobs": [entry]}]
    assert output.whole["logprobs"] == lines[0]["logprobs"] * 2


def test_lines_of_a_writer() -> None:
    writer = OllamaWriter(Output("tiny", "chat"))
    assert writer.write(Admitted(Usage(3))) == b""
    assert writer.write(Quiet(True)) == b""
    quiet = writer.write(Quiet(False))
    assert quiet.endswith(b"}\n")
    assert json.loads(quiet)["message"] == {"role": "assistant", "content": ""}
    assert json.loads(writer.fail(Fault(status=500, message="no"))) == {"error": "no"}
    assert json.loads(ollama_error(Fault(status=400, message="no", parameter="x"))) == {"error": "no"}


@settings(deadline=None)
@given(scripts(), st.sampled_from(["chat", "generate"]))
def test_lines_and_whole_agree(deltas: list[Delta], kind: Any) -> None:
    output, lines = played(deltas, kind)
    whole = output.whole
    said = [line["message"] if kind == "chat" else line for line in lines]
    end = whole["message"] if kind == "chat" else whole
    name = "content" if kind == "chat" else "response"
    assert "".join(one[name] for one in said) == end[name]
    assert "".join(one.get("thinking", "") for one in said) == end.get("thinking", "")
    calls = [found for one in said for found in one.get("tool_calls", ())]
    assert calls == end.get("tool_calls", [])
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    (ChatDone if kind == "chat" else GenerateDone).model_validate(whole)
    (ChatResponse if kind == "chat" else GenerateResponse).model_validate(whole)
    ended = deltas[-1]
    assert isinstance(ended, Ended)
    assert whole["eval_count"] == ended.usage.completion


@pytest.mark.parametrize("kind", ["chat", "generate"])
def test_a_whole_reply_is_a_last_line_with_everything(kind: Any) -> None:
    output, lines = played(answer(TextDelta(0, "Hi")), kind)
    assert output.whole.keys() == lines[-1].keys()
