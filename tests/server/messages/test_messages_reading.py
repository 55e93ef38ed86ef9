"""Requests to /v1/messages as calls, a recorded one of a coding agent among them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from honed.errors import ParameterError
from honed.server.exchange import ChatCall, Tool
from honed.server.messages.fields import CountBody, MessagesBody
from honed.server.messages.reading import Asked, read, read_count

LOOK: dict[str, Any] = {"name": "look", "description": "d", "input_schema": {"type": "object"}}
AGENT: dict[str, Any] = {
    "model": "tiny",
    "max_tokens": 32000,
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.37"},
        {"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}},
    ],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "fix", "cache_control": {"type": "ephemeral"}}]},
    ],
    "tools": [
        {**LOOK, "cache_control": {"type": "ephemeral"}, "eager_input_streaming": True},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 8},
    ],
    "thinking": {"type": "enabled", "budget_tokens": 31999},
    "metadata": {"user_id": "user_1"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "medium"},
    "stream": True,
}


def asked(**fields: Any) -> Asked:
    given = {"model": "tiny", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}], **fields}
    return read(MessagesBody.model_validate(given))


def test_what_a_coding_agent_sends() -> None:
    found = asked(**AGENT)
    call = found.call
    assert found.stream
    assert [message["content"] for message in call.messages] == ["You are an agent.", "fix"]
    assert call.tools == (Tool(name="look", description="d", parameters={"type": "object"}),)
    assert call.template_variables == {"enable_thinking": True, "reasoning_effort": "medium"}
    assert (call.user, call.max_tokens, call.parallel_tool_calls) == ("user_1", 32000, True)


def test_fields_of_a_call() -> None:
    call = asked(temperature=0.5, top_p=0.9, top_k=7, seed=3, stop_sequences=["a"], thinking={"type": "disabled"}).call
    assert call.sampling.chosen == {"temperature": 0.5, "top_p": 0.9, "top_k": 7, "seed": 3}
    assert (call.stop, call.max_tokens) == (("a",), 5)
    assert call.template_variables == {"enable_thinking": False}
    assert asked().call.template_variables == {}


def test_null_equals_absence() -> None:
    names = set(MessagesBody.model_fields) - {"model", "messages", "max_tokens"}
    assert asked(**dict.fromkeys(names)) == asked()


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, ("auto", None, True)),
        ({"type": "none"}, ("none", None, True)),
        ({"type": "any", "disable_parallel_tool_use": True}, ("required", None, False)),
        ({"type": "tool", "name": "look"}, ("required", "look", True)),
    ],
)
def test_choices_of_a_tool(choice: dict[str, Any], expected: tuple[Any, ...]) -> None:
    call = asked(tools=[LOOK], tool_choice=choice).call
    assert (call.tool_choice, call.forced_tool, call.parallel_tool_calls) == expected


@pytest.mark.parametrize("fields", [{"output_config": {"format": 1}}, {"output_format": 1}])
def test_forms_of_the_text(fields: dict[str, Any]) -> None:
    schema = {"type": "object"}
    name = next(iter(fields))
    form: dict[str, Any] = {"type": "json_schema", "schema": schema}
    call = asked(**{name: {"format": form} if name == "output_config" else form}).call
    assert call.grammar is not None
    assert (call.grammar.kind, json.loads(call.grammar.source)) == ("json_schema", schema)


def test_thinking_may_be_left_out() -> None:
    assert asked().show_thinking
    assert not asked(thinking={"type": "adaptive", "display": "omitted"}).show_thinking


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"container": "c"}, "container"),
        ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
        ({"tool_choice": {"type": "any"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool", "name": "x"}, "tools": [LOOK]}, "tool_choice.name"),
        ({"tool_choice": {}}, "tool_choice.type"),
        ({"tools": [{"name": "x"}]}, "tools[0].input_schema"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        ({"thinking": {"type": "deep"}}, "thinking.type"),
        ({"output_format": {"type": "xml"}}, "output_format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"stop_sequences": [""]}, "stop_sequences"),
        ({"metadata": {"user_id": 3}}, "metadata.user_id"),
        ({"min_p": 2.0}, "min_p"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], parameter: str) -> None:
    with pytest.raises(ParameterError) as found:
        asked(**fields)
    assert found.value.parameter == parameter


@pytest.mark.parametrize(
    "fields",
    [{"max_tokens": None}, {"max_tokens": 0}, {"messages": []}, {"temperature": -1}, {"top_k": -1}, {"stream": "yes"}],
)
def test_values_out_of_their_range(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        asked(**fields)


def test_counting_takes_the_same_prompt() -> None:
    def prompt(call: ChatCall) -> tuple[Any, ...]:
        return call.messages, call.tools, call.tool_choice, call.template_variables, call.grammar

    names = set(AGENT) - {"max_tokens", "stream", "metadata"}
    count = read_count(CountBody.model_validate({name: AGENT[name] for name in names}))
    assert prompt(count) == prompt(asked(**AGENT).call)
