"""A message as a stream of events, and refusals in the form of this API. Not here: which events there are
(`output.py`)."""

from __future__ import annotations

from honed.server.errors import Fault
from honed.server.exchange import Delta, Quiet
from honed.server.fields import compact
from honed.server.frames import event
from honed.server.messages.output import Output
from honed.server.request_body import Object
from honed.server.stream import COMMENT

_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


class MessagesWriter:
    """Writes the events of an `Output`."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def write(self, delta: Delta) -> bytes:
        """See `writer.Writer`."""
        if isinstance(delta, Quiet) and delta.comment:
            return COMMENT
        return b"".join(event(one["type"], one) for one in self._output.take(delta))

    def fail(self, fault: Fault) -> bytes:
        """See `writer.Writer`."""
        return event("error", _error(fault))


def messages_error(fault: Fault) -> bytes:
    """The body of a refusal: {"type": "error", "error": {"type", "message"}}."""
    return compact(_error(fault)).encode()


def _error(fault: Fault) -> Object:
    kind = _KINDS.get(fault.status, "invalid_request_error" if fault.status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": fault.message}}
