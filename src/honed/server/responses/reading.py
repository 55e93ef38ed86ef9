"""A request to /v1/responses as a `ChatCall`, and what the reply repeats of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from honed.errors import ParameterError
from honed.server.exchange import ChatCall
from honed.server.request_body import Object, object_at, sampling_of, stops_of
from honed.server.responses.choices import Tools, grammar_of, tools_of
from honed.server.responses.fields import CountBody, ResponsesBody
from honed.server.responses.items import messages_of

LOGPROBS = "message.output_text.logprobs"
SEALED_REASONING = "reasoning.encrypted_content"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """stream: whether events are wanted. repeated: the fields of the reply that say what was asked. seal: whether
    reasoning is to be given in a form that goes back with the next request."""

    call: ChatCall
    stream: bool = False
    seal: bool = False
    repeated: Object = field(default_factory=dict)


def read(fields: ResponsesBody, earlier: Sequence[Object] = ()) -> Asked:
    """Of /v1/responses. earlier: what was said up to `previous_response_id`.

    ParameterError names what is wrong, or not supported and would change the reply.
    """
    _refuse(fields)
    if fields.background:
        raise ParameterError("background", True, "is not supported; leave it out")
    if fields.context_management:
        raise ParameterError("context_management", fields.context_management, "is not supported; leave it out")
    if fields.stream_options is not None and not fields.stream:
        raise ParameterError("stream_options", fields.stream_options, "needs stream: true")
    include = fields.include or []
    wants_logprobs = fields.top_logprobs is not None or LOGPROBS in include
    sampling = sampling_of(
        (name, name, getattr(fields, name))
        for name in (
            "temperature",
            "top_p",
            "top_k",
            "min_p",
            "seed",
            "repetition_penalty",
            "presence_penalty",
            "frequency_penalty",
        )
    )
    tools = tools_of(fields.tools, fields.tool_choice)
    call = ChatCall(
        **_prompt(fields, tools, earlier),
        max_tokens=fields.max_output_tokens,
        min_tokens=fields.min_tokens or 0,
        sampling=sampling,
        stop=stops_of("stop", fields.stop),
        ignore_eos=fields.ignore_eos or False,
        logprobs=(fields.top_logprobs or 0) if wants_logprobs else None,
        grammar=grammar_of(fields.text),
        priority=fields.priority or 0,
        cache_salt=fields.cache_salt or "",
        user=fields.user or "",
    )
    return Asked(
        call=call,
        stream=fields.stream or False,
        seal=SEALED_REASONING in include,
        repeated=_repeated(fields, tools),
    )


def read_count(fields: CountBody, earlier: Sequence[Object] = ()) -> ChatCall:
    """Of /v1/responses/input_tokens. Errors as of `read`."""
    _refuse(fields)
    tools = tools_of(fields.tools, fields.tool_choice)
    return ChatCall(**_prompt(fields, tools, earlier), grammar=grammar_of(fields.text))


def _refuse(fields: CountBody) -> None:
    """What is not kept here, and one warning for what is not known."""
    fields.warn_of_unknown()
    for name in ("conversation", "prompt"):
        if (value := getattr(fields, name)) is not None:
            raise ParameterError(name, value, "is not supported; send the whole input")
    if fields.truncation == "auto":
        raise ParameterError("truncation", "auto", "is not supported; leave it out, and shorten the input yourself")


def _prompt(fields: CountBody, tools: Tools, earlier: Sequence[Object]) -> dict[str, Any]:
    """The fields of a call that decide the prompt."""
    variables = dict(fields.chat_template_kwargs or {})
    effort = None if fields.reasoning is None else object_at("reasoning", fields.reasoning).get("effort")
    if effort is not None:
        if not isinstance(effort, str):
            raise ParameterError("reasoning.effort", effort, "must be a text, as low or high")
        variables = {"reasoning_effort": effort, **variables}
        if effort == "none":
            variables = {"enable_thinking": False, **variables}
    return {
        "model": fields.model,
        "messages": messages_of(fields.input, fields.instructions, earlier),
        "tools": tools.functions,
        "tool_choice": tools.choice,
        "forced_tool": tools.forced,
        "parallel_tool_calls": fields.parallel_tool_calls is not False,
        "template_variables": variables,
    }


def _repeated(fields: ResponsesBody, tools: Tools) -> Object:
    reasoning = fields.reasoning or {}
    form = (fields.text or {}).get("format") or {"type": "text"}
    if form.get("type") == "json_schema":
        form = {"name": "schema", **form}
    return {
        "background": False,
        "instructions": fields.instructions,
        "max_output_tokens": fields.max_output_tokens,
        "max_tool_calls": fields.max_tool_calls,
        "metadata": fields.metadata or {},
        "parallel_tool_calls": fields.parallel_tool_calls is not False,
        "previous_response_id": fields.previous_response_id,
        "prompt_cache_key": fields.prompt_cache_key,
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "safety_identifier": fields.safety_identifier,
        "service_tier": "default",
        "store": fields.store is not False,
        "temperature": fields.temperature,
        "text": {"format": form},
        "tool_choice": fields.tool_choice if fields.tool_choice is not None else "auto",
        "tools": [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.parameters),
                "strict": tool.strict,
            }
            for tool in tools.functions
        ],
        "top_logprobs": fields.top_logprobs or 0,
        "top_p": fields.top_p,
        "truncation": "disabled",
        "user": fields.user,
    }
