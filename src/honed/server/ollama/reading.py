"""Requests to /api/chat and /api/generate as calls."""

from __future__ import annotations

import json
from typing import Any

from honed.errors import ParameterError
from honed.server.exchange import ChatCall, Grammar, TextCall
from honed.server.ollama.fields import ChatBody, GenerateBody, RunBody
from honed.server.ollama.options import call_fields
from honed.server.ollama.turns import messages_of, tools_of
from honed.server.request_body import Object


def read_chat(fields: ChatBody) -> ChatCall:
    """ParameterError names what is wrong, or not supported and would change the reply."""
    fields.warn_of_unknown()
    return ChatCall(
        **_common(fields),
        messages=messages_of(fields.messages or ()),
        tools=tools_of(fields.tools),
        template_variables=_variables(fields),
    )


def read_generate(fields: GenerateBody) -> ChatCall | TextCall:
    """A chat of one message; as it is where `raw` is asked for, or something to fill in. Errors as of `read_chat`."""
    fields.warn_of_unknown()
    for name in ("template", "context", "images"):
        if value := getattr(fields, name):
            raise ParameterError(name, value, "is not supported; leave it out")
    common, prompt = _common(fields), fields.prompt or ""
    if fields.raw or fields.suffix:
        return TextCall(**common, prompt=prompt, suffix=fields.suffix or None)
    messages = [{"role": "user", "content": prompt}]
    if fields.system:
        messages.insert(0, {"role": "system", "content": fields.system})
    return ChatCall(**common, messages=messages, template_variables=_variables(fields))


def _common(fields: RunBody) -> dict[str, Any]:
    logprobs = fields.top_logprobs if fields.top_logprobs else 0 if fields.logprobs else None
    return {
        "model": fields.model,
        **call_fields(fields.options),
        "grammar": _grammar(fields.format),
        "logprobs": logprobs,
    }


def _grammar(form: str | Object | None) -> Grammar | None:
    if form is None or form == "":
        return None
    if isinstance(form, dict):
        return Grammar(kind="json_schema", source=json.dumps(form), parameter="format")
    if form == "json":
        return Grammar(kind="json_object", parameter="format")
    raise ParameterError("format", form, "must be json, or a JSON schema as an object")


def _variables(fields: RunBody) -> Object:
    if fields.think is None:
        return {}
    if isinstance(fields.think, str):
        if fields.think not in ("low", "medium", "high", "max"):
            raise ParameterError("think", fields.think, "must be true, false, low, medium or high")
        return {"enable_thinking": True, "reasoning_effort": fields.think}
    return {"enable_thinking": fields.think}
