"""Requests to /api/chat and /api/generate as calls."""

from __future__ import annotations

import json
from typing import Any

import pytest

from honed.errors import ParameterError
from honed.server.exchange import ChatCall, TextCall
from honed.server.ollama.fields import ChatBody, GenerateBody
from honed.server.ollama.reading import read_chat, read_generate


def chat(**fields: Any) -> ChatCall:
    return read_chat(
        ChatBody.model_validate({"model": "tiny", "messages": [{"role": "user", "content": "q"}], **fields})
    )


def generate(**fields: Any) -> ChatCall | TextCall:
    return read_generate(GenerateBody.model_validate({"model": "tiny", "prompt": "p", **fields}))


def test_a_chat() -> None:
    call = chat(options={"num_predict": 3}, keep_alive="5m")
    assert (call.model, call.messages, call.max_tokens) == ("tiny", [{"role": "user", "content": "q"}], 3)
    assert (call.grammar, call.logprobs, call.template_variables) == (None, None, {})


def test_forms_of_the_text() -> None:
    schema = {"type": "object"}
    anything, exact = chat(format="json").grammar, chat(format=schema).grammar
    assert anything is not None
    assert exact is not None
    assert (anything.kind, anything.parameter) == ("json_object", "format")
    assert (exact.kind, json.loads(exact.source)) == ("json_schema", schema)
    assert chat(format="").grammar is None
    with pytest.raises(ParameterError, match="format = 'xml'"):
        chat(format="xml")


def test_thinking() -> None:
    assert chat(think=False).template_variables == {"enable_thinking": False}
    assert chat(think="high").template_variables == {"enable_thinking": True, "reasoning_effort": "high"}
    with pytest.raises(ParameterError, match="think = 'hard'"):
        chat(think="hard")


def test_logprobs() -> None:
    assert chat(logprobs=True).logprobs == 0
    assert chat(logprobs=True, top_logprobs=3).logprobs == 3
    assert chat(logprobs=False).logprobs is None


def test_generating_goes_through_the_template() -> None:
    call = generate(system="s")
    assert isinstance(call, ChatCall)
    assert call.messages == [{"role": "system", "content": "s"}, {"role": "user", "content": "p"}]


def test_generating_without_it() -> None:
    raw = generate(raw=True, system="s", options={"stop": "x"})
    assert isinstance(raw, TextCall)
    assert (raw.prompt, raw.suffix, raw.stop) == ("p", None, ("x",))
    infill = generate(suffix="end")
    assert isinstance(infill, TextCall)
    assert (infill.prompt, infill.suffix) == ("p", "end")


@pytest.mark.parametrize("field", ["template", "context", "images"])
def test_what_is_refused(field: str) -> None:
    value: Any = {"template": "{{ .Prompt }}", "context": [1, 2], "images": ["x"]}[field]
    with pytest.raises(ParameterError) as found:
        generate(**{field: value})
    assert found.value.parameter == field
    assert generate(**{field: type(value)()}) == generate()
