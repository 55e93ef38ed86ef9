"""Which status an exception becomes, and what a client is told of it."""

from __future__ import annotations

import json

import pytest

from honed.errors import (
    FormatError,
    MachineError,
    ParameterError,
    QueueFullError,
    QueueTimeoutError,
    SourceError,
    TemplateError,
    UnsupportedError,
)
from honed.runtime.engine_thread import EngineError
from honed.server.errors import Dialects, Fault, fault_of, openai_error, refused


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ParameterError("top_p", 2, "must be at most 1"), 400, None),
        (TemplateError("roles must alternate"), 400, "template_error"),
        (SourceError("/home/me/model: is not there"), 404, "model_not_found"),
        (UnsupportedError("no such thing"), 400, "unsupported"),
        (QueueFullError(9, 500), 429, "queue_full"),
        (QueueTimeoutError(3.0), 503, "queue_timeout"),
        (EngineError("the model failed"), 503, "engine_failed"),
        (MachineError("/dev/shm: is full"), 503, "resources"),
        (FormatError("/home/me/config.json", "x", "is odd"), 500, "internal_error"),
        (RuntimeError("at 0x7ffd in /home/me/x.py"), 500, "internal_error"),
        (refused(405, "not this way"), 405, None),
    ],
)
def test_statuses(error: Exception, status: int, code: str | None) -> None:
    fault = fault_of(error)
    assert (fault.status, fault.code) == (status, code)
    assert "/home" not in fault.message
    assert "0x7ffd" not in fault.message
    body = json.loads(openai_error(fault))
    assert body.keys() == {"error"}
    assert body["error"].keys() == {"message", "type", "param", "code"}


def test_headers() -> None:
    assert Fault(status=429, message="x", retry_after=10**6).headers["retry-after"] == "120"
    assert Fault(status=429, message="x", retry_after=0).headers["retry-after"] == "1"
    assert Fault(status=503, message="x").headers["x-should-retry"] == "true"
    assert Fault(status=500, message="x").headers["x-should-retry"] == "false"
    assert Fault(status=503, message="x", retry=False).headers["x-should-retry"] == "false"
    assert Fault(status=401, message="x").headers["www-authenticate"] == "Bearer"
    assert Fault(status=400, message="x").headers == {}


def test_the_longest_prefix_has_the_say() -> None:
    dialects = Dialects({"/api": lambda _: b"short", "/api/v2": lambda _: b"long"})
    fault = Fault(status=400, message="x")
    assert dialects.body("/api/v2/x", fault) == b"long"
    assert dialects.body("/api/x", fault) == b"short"
    assert dialects.body("/v1/x", fault) == openai_error(fault)
