"""Frames of messages, and refusals in the form of their API."""

from __future__ import annotations

import json

import pytest

from honed.server.errors import Fault
from honed.server.exchange import Admitted, Quiet, Usage
from honed.server.messages.output import Output
from honed.server.messages.stream import MessagesWriter, messages_error


def test_every_frame_has_its_name() -> None:
    writer = MessagesWriter(Output("msg_1", "tiny"))
    frame = writer.write(Admitted(Usage(3))).decode()
    assert frame.startswith("event: message_start\ndata: {")
    assert frame.endswith("}\n\n")
    assert writer.write(Quiet(True)) == b": waiting\n\n"
    assert writer.write(Quiet(False)) == b'event: ping\ndata: {"type":"ping"}\n\n'
    broken = writer.fail(Fault(status=500, message="no")).decode()
    assert broken.startswith("event: error\ndata: ")
    assert json.loads(broken.partition("data: ")[2])["error"] == {"type": "api_error", "message": "no"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (404, "not_found_error"),
        (409, "invalid_request_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (503, "overloaded_error"),
    ],
)
def test_refusals(status: int, kind: str) -> None:
    assert json.loads(messages_error(Fault(status=status, message="no"))) == {
        "type": "error",
        "error": {"type": kind, "message": "no"},
    }
