"""Bodies of any kind: either they are read, or they are refused in a way that a client understands."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from honed.errors import HonedError
from honed.server.errors import RequestError, fault_of
from honed.server.fields import compact, fault_of_validation, parsed
from honed.server.openai.chat_request import ChatRequest
from honed.server.openai.completion_request import CompletionRequest

SCALARS = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
CHAT = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
TEXT = {"model": "m", "prompt": "x"}
NAMES = sorted({*ChatRequest.model_fields, *CompletionRequest.model_fields, "audio", "functions", "typical_p"})


def read(kind: Any, body: Any) -> None:
    """As a route does it."""
    try:
        kind.model_validate(body).read()
    except ValidationError as error:
        fault = fault_of_validation(RequestValidationError(error.errors()))
        assert fault.status == 400
        assert len(fault.message) <= 400
        assert fault.parameter is None or fault.parameter in fault.message
    except HonedError as error:
        assert fault_of(error).status == 400


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4))
def test_any_fields(fields: dict[str, Any]) -> None:
    read(ChatRequest, {**CHAT, **fields})
    read(CompletionRequest, {**TEXT, **fields})


@settings(max_examples=200, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(["role", "content", "tool_calls", "name"]), VALUES), max_size=3))
def test_any_messages(messages: list[Any]) -> None:
    read(ChatRequest, {"model": "m", "messages": messages})


@given(st.binary(max_size=60) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_body(body: bytes) -> None:
    try:
        value = parsed(body)
    except RequestError as error:
        assert error.fault.status == 400
    else:
        assert json.loads(compact(value)) == json.loads(body)


@pytest.mark.parametrize("body", [b"NaN", b'{"a": Infinity}', b'"\\ud800"', b"[" * 100000, b"{}x", b"\xef\xbb\xbf{}"])
def test_json_that_is_none(body: bytes) -> None:
    with pytest.raises(RequestError, match="not valid JSON"):
        parsed(body)


def test_the_member_of_a_union_is_not_named() -> None:
    with pytest.raises(ValidationError) as caught:
        ChatRequest.model_validate({**CHAT, "stop": 3})
    assert fault_of_validation(RequestValidationError(caught.value.errors())).parameter == "stop"
