"""A request to /v1/messages as a `ChatCall`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from honed.errors import ParameterError
from honed.server.exchange import ChatCall, Grammar, Tool
from honed.server.messages.blocks import messages_of
from honed.server.messages.fields import CountBody, MessagesBody
from honed.server.request_body import Object, object_at, sampling_of, stops_of, text_at, warn_once


@dataclass(frozen=True, kw_only=True)
class Asked:
    """stream: whether events are wanted. show_thinking: whether the text of thinking is; its blocks always are."""

    call: ChatCall
    stream: bool = False
    show_thinking: bool = True


def read(fields: MessagesBody) -> Asked:
    """Of /v1/messages. ParameterError names what is wrong, or not supported and would change the reply."""
    if fields.container is not None:
        raise ParameterError("container", fields.container, "is not supported; leave it out")
    names = ("temperature", "top_p", "top_k", "min_p", "seed", "repetition_penalty")
    user = None if fields.metadata is None else fields.metadata.get("user_id")
    call = ChatCall(
        **_prompt(fields),
        max_tokens=fields.max_tokens,
        sampling=sampling_of((name, name, getattr(fields, name)) for name in names),
        stop=stops_of("stop_sequences", fields.stop_sequences),
        priority=fields.priority or 0,
        cache_salt=fields.cache_salt or "",
        user="" if user is None else text_at("metadata.user_id", user),
    )
    omitted = fields.thinking is not None and fields.thinking.get("display") == "omitted"
    return Asked(call=call, stream=fields.stream or False, show_thinking=not omitted)


def read_count(fields: CountBody) -> ChatCall:
    """Of /v1/messages/count_tokens. Errors as of `read`."""
    return ChatCall(**_prompt(fields))


def _prompt(fields: CountBody) -> dict[str, Any]:
    """The fields of a call that decide the prompt, and the form of the text. One warning for what is not known."""
    fields.warn_of_unknown()
    if fields.mcp_servers:
        raise ParameterError("mcp_servers", fields.mcp_servers, "is not supported; leave it out")
    if fields.context_management:
        # Coding agents always send it; it edits what has grown too long for the model.
        warn_once("the field context_management of messages is ignored: nothing is taken out of a conversation")
    tools = [
        tool
        for index, value in enumerate(fields.tools or ())
        if (tool := _tool(f"tools[{index}]", object_at(f"tools[{index}]", value))) is not None
    ]
    choice = _choice(fields.tool_choice, tools)
    return {
        "model": fields.model,
        "messages": messages_of(fields.messages, fields.system),
        "tools": tuple(tools),
        "tool_choice": choice[0],
        "forced_tool": choice[1],
        "parallel_tool_calls": not (fields.tool_choice or {}).get("disable_parallel_tool_use"),
        "template_variables": _variables(fields),
        "grammar": _grammar(fields),
    }


def _tool(place: str, tool: Object) -> Tool | None:
    kind = tool.get("type")
    if kind not in (None, "custom"):
        warn_once(
            f"tools of the type {text_at(f'{place}.type', kind)[:80]} are skipped: only custom ones are supported"
        )
        return None
    name = tool.get("name")
    if not isinstance(name, str) or not name:
        raise ParameterError(f"{place}.name", name, "must be the name of the tool")
    described = tool.get("description")
    return Tool(
        name=name,
        description=None if described is None else text_at(f"{place}.description", described),
        parameters=object_at(f"{place}.input_schema", tool.get("input_schema")),
        strict=tool.get("strict") is True,
    )


def _choice(given: Object | None, tools: list[Tool]) -> tuple[Literal["auto", "none", "required"], str | None]:
    match None if given is None else given.get("type"):
        case None if given is None:
            return "auto", None
        case "auto":
            return "auto", None
        case "none":
            return "none", None
        case "any":
            if not tools:
                raise ParameterError("tool_choice.type", "any", "needs at least one tool of the type custom")
            return "required", None
        case "tool":
            assert given is not None
            name = given.get("name")
            if all(tool.name != name for tool in tools):
                raise ParameterError("tool_choice.name", name, "must be the name of one of the tools")
            return "required", text_at("tool_choice.name", name)
    raise ParameterError("tool_choice.type", (given or {}).get("type"), "must be auto, any, tool or none")


def _variables(fields: CountBody) -> Object:
    """What the template is told of how long to think. A budget cannot be enforced, and only bounds a wish."""
    variables: Object = {}
    if fields.thinking is not None:
        kind = fields.thinking.get("type")
        if kind not in ("enabled", "adaptive", "disabled", "between_tools"):
            raise ParameterError("thinking.type", kind, "must be enabled, adaptive or disabled")
        variables["enable_thinking"] = kind != "disabled"
    effort = None if fields.output_config is None else fields.output_config.get("effort")
    if effort is not None:
        variables["reasoning_effort"] = text_at("output_config.effort", effort)
    return {**variables, **(fields.chat_template_kwargs or {})}


def _grammar(fields: CountBody) -> Grammar | None:
    place, form = "output_format", fields.output_format
    if form is None and fields.output_config is not None:
        place, form = "output_config.format", fields.output_config.get("format")
    if form is None:
        return None
    if object_at(place, form).get("type") != "json_schema":
        raise ParameterError(f"{place}.type", form.get("type"), "must be json_schema")
    schema = object_at(f"{place}.schema", form.get("schema"))
    return Grammar(kind="json_schema", source=json.dumps(schema), parameter=f"{place}.schema")
