"""Requests to /v1/responses as calls, recorded ones of coding agents among them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from honed.errors import ParameterError
from honed.server.responses.fields import CountBody, ResponsesBody
from honed.server.responses.reading import Asked, read, read_count

AGENT: dict[str, Any] = {
    "model": "tiny",
    "instructions": "You are a coding agent.",
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "<permissions>"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "<environment_context>"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "fix it"}]},
    ],
    "tools": [
        {"type": "function", "name": "shell", "description": "Runs", "strict": False, "parameters": {"type": "object"}},
        {"type": "local_shell"},
        {"type": "custom", "name": "apply_patch", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
        {"type": "web_search", "external_web_access": False},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "reasoning": {"effort": "medium", "summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "0199-af",
    "text": {"verbosity": "medium"},
    "client_metadata": {"x": "y"},
}


def asked(**fields: Any) -> Asked:
    return read(ResponsesBody.model_validate({"model": "tiny", "input": "hi", **fields}))


def test_what_a_coding_agent_sends() -> None:
    found = asked(**AGENT)
    call = found.call
    assert (found.stream, found.seal) == (True, True)
    assert [message["role"] for message in call.messages] == ["system", "system", "user", "user"]
    assert [tool.name for tool in call.tools] == ["shell"]
    assert (call.tool_choice, call.parallel_tool_calls, call.tools[0].strict) == ("auto", False, False)
    assert call.template_variables == {"reasoning_effort": "medium"}
    assert (call.logprobs, call.grammar, call.max_tokens) == (None, None, None)
    assert found.repeated["prompt_cache_key"] == "0199-af"
    assert [tool["name"] for tool in found.repeated["tools"]] == ["shell"]


def test_fields_of_a_call() -> None:
    call = asked(
        max_output_tokens=9,
        temperature=0.5,
        top_p=0.9,
        top_k=7,
        seed=3,
        stop=["a", "b"],
        min_tokens=2,
        ignore_eos=True,
        priority=-1,
        cache_salt="s",
        user="u",
        presence_penalty=0.5,
        reasoning={"effort": "none"},
        chat_template_kwargs={"x": 1},
    ).call
    assert (call.max_tokens, call.min_tokens, call.stop, call.ignore_eos) == (9, 2, ("a", "b"), True)
    assert (call.priority, call.cache_salt, call.user) == (-1, "s", "u")
    assert call.sampling.chosen == {"temperature": 0.5, "top_p": 0.9, "top_k": 7, "seed": 3, "presence_penalty": 0.5}
    assert call.template_variables == {"enable_thinking": False, "reasoning_effort": "none", "x": 1}


def test_null_equals_absence() -> None:
    names = set(ResponsesBody.model_fields) - {"model", "input"}
    assert asked(**dict.fromkeys(names)) == asked()


def test_logprobs_are_asked_for_in_two_ways() -> None:
    assert asked(top_logprobs=3).call.logprobs == 3
    assert asked(top_logprobs=0).call.logprobs == 0
    assert asked(include=["message.output_text.logprobs"]).call.logprobs == 0
    assert asked(include=["message.output_text.logprobs"], top_logprobs=2).call.logprobs == 2


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"background": True}, "background"),
        ({"truncation": "auto"}, "truncation"),
        ({"context_management": [{"type": "compaction"}]}, "context_management"),
        ({"stream_options": {"include_obfuscation": False}}, "stream_options"),
        ({"min_p": 3.0}, "min_p"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"seed": -1}, "seed"),
        ({"stop": ["a", ""]}, "stop"),
        ({"reasoning": {"effort": 3}}, "reasoning.effort"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], parameter: str) -> None:
    with pytest.raises(ParameterError) as found:
        asked(**fields)
    assert found.value.parameter == parameter


@pytest.mark.parametrize(
    "fields",
    [
        {"max_output_tokens": 0},
        {"max_output_tokens": 10**30},
        {"max_output_tokens": 1.5},
        {"max_output_tokens": True},
        {"temperature": 2.1},
        {"temperature": "1"},
        {"temperature": float("nan")},
        {"top_p": 0},
        {"top_logprobs": 21},
        {"stream": 1},
        {"input": 3},
        {"model": None},
        {"metadata": {"a": 1}},
    ],
)
def test_values_out_of_their_range(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        asked(**fields)


def test_counting_takes_the_same_prompt() -> None:
    count = read_count(CountBody.model_validate({name: AGENT[name] for name in ("model", "input", "tools")}))
    whole = asked(**{**AGENT, "instructions": None, "reasoning": None}).call
    assert (count.messages, count.tools, count.model) == (whole.messages, whole.tools, whole.model)


def test_earlier_items_come_first() -> None:
    earlier = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    found = read(ResponsesBody.model_validate({"model": "tiny", "input": "three", "instructions": "i"}), earlier)
    assert [message["content"] for message in found.call.messages] == ["i", "one", "two", "three"]
    with pytest.raises(ParameterError) as refused:
        read(ResponsesBody.model_validate({"model": "tiny", "input": [{"type": "x"}]}), earlier)
    assert refused.value.parameter == "input[0].type"
