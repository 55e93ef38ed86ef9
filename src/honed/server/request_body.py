"""Plain JSON values within a request, which a dialect reads by hand: checks that name the place, and the log of what is
skipped. Not here: the fields themselves (`fields.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from honed.errors import ParameterError, plain, shortened
from honed.runtime.options import SamplingOptions
from honed.server.fields import LOG

MOST_WARNINGS = 1000
"""Different ones that are remembered, and so logged, for the life of the process: clients choose the names in them."""
MOST_TOKENS = (1 << 31) - 1
MOST_STOPS = 16
_warned: set[str] = set()

Object = dict[str, Any]


def shaped(required: Sequence[str] = (), **properties: Any) -> Object:
    """The JSON schema of an object, for /openapi.json: what a dialect takes that reads it by hand."""
    return {"type": "object", "required": list(required), "properties": properties}


def one_of(*values: str) -> Object:
    """The JSON schema of a text out of a few."""
    return {"type": "string", "enum": list(values)}


TEXT: Object = {"type": "string"}
ANY_OBJECT: Object = {"type": "object"}


def warn_once(text: str) -> None:
    """Into the log, the first time."""
    if text not in _warned and len(_warned) < MOST_WARNINGS:
        _warned.add(text)
        LOG.warning("%s", shortened(plain(text)))


def sampling_of(fields: Iterable[tuple[str, str, object]]) -> SamplingOptions:
    """Of (its name here, its name in the request, value); None leaves it open. ParameterError by the request's name."""
    chosen: dict[str, Any] = {}
    for field, name, value in fields:
        if value is None:
            continue
        try:
            SamplingOptions(**{field: value})  # type: ignore[arg-type]
        except ParameterError as error:
            raise ParameterError(name, value, str(error).partition(": ")[2]) from None
        chosen[field] = value
    return SamplingOptions(**chosen)


def stops_of(name: str, given: str | Sequence[str] | None) -> tuple[str, ...]:
    """Stop strings; one that is empty: ParameterError."""
    found = (given,) if isinstance(given, str) else tuple(given or ())
    if "" in found:
        raise ParameterError(name, "", "a stop string must not be empty")
    return found


def text_at(place: str, value: object) -> str:
    """A text. Anything else: ParameterError."""
    if not isinstance(value, str):
        raise ParameterError(place, value, "must be a text")
    return value


def object_at(place: str, value: object) -> Object:
    """An object. Anything else: ParameterError."""
    if not isinstance(value, dict):
        raise ParameterError(place, value, "must be an object")
    return value


def list_at(place: str, value: object) -> list[Any]:
    """A list. Anything else: ParameterError."""
    if not isinstance(value, list):
        raise ParameterError(place, value, "must be a list")
    return value
