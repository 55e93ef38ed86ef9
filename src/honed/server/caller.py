"""Who asks: what the middlewares found out about a request, for the routes."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

_PLACE = "honed.caller"


@dataclass(frozen=True)
class Caller:
    """key: what stands for the caller's key, and is not the key itself; empty where none is asked for. request_id: of
    this request, as it stands in the log and in the x-request-id header of the reply."""

    key: str = ""
    request_id: str = ""


def note_caller(scope: MutableMapping[str, Any], caller: Caller) -> None:
    """For `caller_of` of the same request."""
    scope[_PLACE] = caller


def caller_of(request: Request) -> Caller:
    """Of a request that went through the middlewares; nobody else's otherwise."""
    found = request.scope.get(_PLACE)
    return found if isinstance(found, Caller) else Caller()
