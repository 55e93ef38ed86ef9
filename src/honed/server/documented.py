"""What routes that write bytes themselves say of their replies in /openapi.json."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from honed.server.openai.fields import ErrorDocument
from honed.server.stream import EVENT_STREAM

_REFUSED = (400, 401, 403, 404, 409, 413, 415, 429, 500, 503, 507)


def replies(
    whole: type[BaseModel] | None, refusal: type[BaseModel] = ErrorDocument, *, stream: str | None = None
) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route. stream: the media type of its events, where the body can ask for them."""
    found: dict[int | str, dict[str, Any]] = {status: {"model": refusal} for status in _REFUSED}
    if whole is not None:
        # Without a schema: it would be one of each event, which a dialect has many kinds of.
        events: dict[str, Any] = {} if stream is None else {"content": {stream: {}}}
        found[200] = {"model": whole, **events}
    return found


def whole_or_events(
    whole: type[BaseModel], refusal: type[BaseModel] = ErrorDocument
) -> dict[int | str, dict[str, Any]]:
    """`replies` of a route that gives one whole, or its own events where the body asks for a stream."""
    return replies(whole, refusal, stream=EVENT_STREAM)


REFUSALS = replies(None)
"""Of a route whose whole reply FastAPI knows."""
