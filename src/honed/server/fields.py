"""Fields of requests as pydantic reads them: strict, with their bounds, and lenient only about what is unknown.

A value out of its range is a 400 that names the field. null on an optional field equals its absence. A field that is
not known is accepted and logged once; one that is known elsewhere, and would change the result, is refused.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from itertools import islice
from typing import Any

import pydantic_core
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, BeforeValidator, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema

from honed.errors import quoted
from honed.server.errors import Fault, RequestError, refused

LOG = logging.getLogger("honed.server")
_MOST_NAMES = 1000
_MOST_WARNED = 100
"""Unknown fields of one request that are looked at for the log."""
_FEW = 100
"""Fields of an object in a body whose numbers are looked at."""
_seen: set[tuple[str, str]] = set()


def _fail_fast(schema: Any) -> None:
    ahead = [schema]
    while ahead:
        here = ahead.pop()
        if isinstance(here, dict):
            if here.get("type") in ("list", "tuple"):
                here["fail_fast"] = True
            ahead += [inner for name, inner in here.items() if name not in ("cls", "config", "metadata", "function")]
        elif isinstance(here, list | tuple):
            ahead += here


class Body(BaseModel):
    """Base of request bodies."""

    model_config = ConfigDict(extra="allow", strict=True, protected_namespaces=())

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The base class's, but of a list only the first item that is wrong is told: to describe a megabyte of wrong
        ones takes half a minute and two gigabytes."""
        schema = handler(source)
        _fail_fast(schema)
        return schema

    def warn_of_unknown(self) -> None:
        """One line of log for each name of a field that is not known, the first time that it comes."""
        for name in islice(self.model_extra or (), _MOST_WARNED):
            place = (type(self).__name__, name[:80])
            if place not in _seen and len(_seen) < _MOST_NAMES:
                _seen.add(place)
                LOG.warning("%s: the field %s is not known, and ignored", place[0], quoted(place[1]))


def at_most(count: int) -> BeforeValidator:
    """A check of how many items an object has before any of them is looked at, as lists have it from `max_length`."""

    def check(value: Any) -> Any:
        if isinstance(value, dict) and len(value) > count:
            raise ValueError(f"it has {len(value)} items, over the {count} that there may be")
        return value

    return BeforeValidator(check)


class Document(BaseModel):
    """Base of replies, which stand in /openapi.json."""

    model_config = ConfigDict(protected_namespaces=())


def refuse_unsupported(body: Body, neutral: Mapping[str, Sequence[Any]], remedies: Mapping[str, str]) -> None:
    """RequestError 400 for a field that other servers know and that would change the result here.

    neutral: the values, null apart, which ask for nothing. remedies: what to do instead.
    """
    extra = body.model_extra or {}
    for name, values in neutral.items():
        value = extra.get(name)
        if value is None or any(value == other and type(value) is type(other) for other in values):
            continue
        remedy = remedies.get(name, "leave it out")
        raise refused(400, f"{name} = {quoted(value)} is not supported by this server; {remedy}", name, "unsupported")


class JsonRoute(APIRoute):
    """Reads bodies with pydantic's own parser: strict JSON (no NaN, no lone surrogates, bounded depth), many times
    faster than the standard one, which holds up everything else for a large body."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's, with another parser."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            return await handle(_JsonRequest(request.scope, request.receive))

        return handled


class _JsonRequest(Request):
    async def json(self) -> Any:
        return parsed(await self.body())


def parsed(body: bytes) -> Any:
    """The JSON value of a body; RequestError 400 for what is none. 650.0 is an integer, as JSON Schema has it."""
    try:
        found = pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise refused(400, f"the body is not valid JSON: {error}", None, "invalid_json") from None
    return _with_integers(found)


def fault_of_validation(error: RequestValidationError) -> Fault:
    """400, naming the first field that is wrong. None of its value is repeated beyond a few characters."""
    first = error.errors()[0]
    place = [part for part in first["loc"] if part not in ("body", "query", "path")]
    name = _dotted(place)
    shown = quoted(first.get("input"), 60)
    problem = str(first["msg"])
    if first["type"] == "missing":
        message = f"{name or 'the body'} is missing, and required"
    elif not place:
        message = f"the body must be a JSON object: {problem[:1].lower()}{problem[1:]}"
    else:
        message = f"{name} = {shown}: {problem[:1].lower()}{problem[1:]}"
    return Fault(status=400, message=message[:400], parameter=name or None, code="invalid_value")


def request_error(fault: Fault) -> RequestError:
    """To raise."""
    return RequestError(fault)


def compact(value: object) -> str:
    """JSON without spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _with_integers(value: Any, depth: int = 2) -> Any:
    """Numbers without a fraction as integers, in the fields of the body and of the objects in it. Not in lists: what a
    prompt or a schema holds stays as it is."""
    if depth and isinstance(value, dict) and len(value) <= _FEW:
        for name, inner in value.items():
            if type(inner) is float and inner.is_integer():
                value[name] = int(inner)
            elif type(inner) is dict:
                _with_integers(inner, depth - 1)
    return value


def _dotted(place: Sequence[int | str]) -> str:
    # Of a union pydantic also names the member that it tried, which no client knows.
    told = ""
    for part in place:
        if isinstance(part, int):
            told += f"[{part}]"
        elif part.isidentifier() and not part[:1].isupper() and part not in ("str", "int", "float", "list", "bool"):
            told += f".{part}" if told else part
    return told
