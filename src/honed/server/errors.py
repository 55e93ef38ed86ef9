"""What a request is told when it cannot be answered: one `Fault` for each error, written in the dialect of the route.

Here: which status an exception becomes, and OpenAI's form. The forms of other dialects stand beside their routes and
are chosen by the path (`Dialects`), so that a refusal of a middleware speaks the client's language too.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from honed.errors import (
    HonedError,
    MachineError,
    ParameterError,
    PromptTooLongError,
    QueueFullError,
    QueueTimeoutError,
    SourceError,
    TemplateError,
    UnsupportedError,
)
from honed.runtime.engine_thread import EngineError

MOST_RETRY_AFTER = 120
"""Seconds that a client is asked to wait at most: what is longer makes clients give up or wait for ever."""
_SAID = logging.getLogger("honed.server")
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    429: "rate_limit_error",
    499: "request_cancelled",
    500: "server_error",
    503: "overloaded_error",
    507: "server_error",
}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One refusal. parameter: the field of the request that is wrong. code: a word that programs tell it by.
    retry_after: seconds. retry: whether the same request may be answered later; where it is None the status says it.
    """

    status: int
    message: str
    parameter: str | None = None
    code: str | None = None
    retry_after: int | None = None
    retry: bool | None = None

    @property
    def kind(self) -> str:
        """OpenAI's word for errors of this status."""
        return _KINDS.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")

    @property
    def headers(self) -> dict[str, str]:
        """Those that go with it, whatever the dialect."""
        found: dict[str, str] = {}
        if self.retry_after is not None:
            found["retry-after"] = str(max(1, min(self.retry_after, MOST_RETRY_AFTER)))
        retry = self.status in (408, 429, 503) if self.retry is None else self.retry
        if self.status >= 500 or self.status in (408, 409, 429):  # what clients try again by themselves
            found["x-should-retry"] = "true" if retry else "false"
        if self.status == 401:
            found["www-authenticate"] = "Bearer"
        return found


class RequestError(HonedError):
    """A refusal whose status is known where it is raised."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def refused(status: int, message: str, parameter: str | None = None, code: str | None = None) -> RequestError:
    """Short for a `RequestError` that says nothing of another try."""
    return RequestError(Fault(status=status, message=message, parameter=parameter, code=code))


def fault_of(error: BaseException) -> Fault:
    """What a client is told of an exception. No word of an error that is ours: it goes to the log, and the client
    learns that there was one."""
    match error:
        case RequestError():
            return error.fault
        case PromptTooLongError():
            # Agents shorten the conversation by themselves where they read these words, or this code.
            return Fault(
                status=400,
                message=f"prompt is too long: {error}",
                parameter=error.parameter,
                code="context_length_exceeded",
            )
        case ParameterError():
            return Fault(status=400, message=str(error), parameter=error.parameter)
        case TemplateError():
            return Fault(status=400, message=str(error), parameter="messages", code="template_error")
        case SourceError():
            return Fault(status=404, message="the model's files cannot be found", code="model_not_found")
        case UnsupportedError():
            return Fault(status=400, message=str(error), code="unsupported")
        case QueueTimeoutError():
            return Fault(status=503, message=str(error), code="queue_timeout", retry_after=5)
        case QueueFullError():
            return Fault(status=429, message=str(error), code="queue_full", retry_after=error.retry_seconds)
        case EngineError():
            _SAID.error("an engine failed: %s", error, exc_info=error.__cause__)
            return Fault(status=503, message=str(error), code="engine_failed", retry_after=5)
        case MachineError():
            _SAID.error("out of resources: %s", error)
            return Fault(status=503, message="this machine cannot serve that now", code="resources", retry_after=30)
        case _:
            _SAID.error("a fault while a request was served", exc_info=error)
            return Fault(status=500, message="a fault inside the server ended this request", code="internal_error")


Renderer = Callable[[Fault], bytes]
"""The body of a refusal in one dialect, JSON."""


def openai_error(fault: Fault) -> bytes:
    """{"error": {"message", "type", "param", "code"}}, all four always there."""
    inner = {"message": fault.message, "type": fault.kind, "param": fault.parameter, "code": fault.code}
    return json.dumps({"error": inner}, ensure_ascii=False).encode()


class Dialects:
    """Which form of errors a path has: that of the longest prefix that is known, else OpenAI's."""

    def __init__(self, by_prefix: Mapping[str, Renderer] | None = None) -> None:
        self._by_prefix = sorted((by_prefix or {}).items(), key=lambda item: -len(item[0]))

    def body(self, path: str, fault: Fault) -> bytes:
        """The refusal as the routes at this path write it."""
        for prefix, render in self._by_prefix:
            if path.startswith(prefix):
                return render(fault)
        return openai_error(fault)
