"""Files of OpenAI's batch API: a line is a request to a route of the server, and a line of the output is its response.

Here: how such a file is told from others, what a line must be, and what is written of it (platform.openai.com, Batch).
Not here: who answers (`server/batch.py`).
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.api.offline.rows import format_of, read_rows
from honed.errors import ParameterError
from honed.records import dataclass

FIELDS = ("custom_id", "method", "url", "body")
_LOOKED_AT = 8
"""Rows of a file that tell what it is: the first ones may be malformed."""
_ROUTES = "/v1/"


@dataclass(frozen=True)
class BatchRequest:
    """One line. path: of the route. body: what is sent there."""

    path: str
    body: Mapping[str, Any]


def is_batch(path: Path) -> bool:
    """Whether a file holds requests: the first row that can be read has all of its fields. Errors of reading."""
    if format_of(path, "input") != "jsonl":
        return False
    first = next((row for row in itertools.islice(read_rows(path), _LOOKED_AT) if row.error is None), None)
    return first is not None and all(name in first.fields for name in FIELDS)


def check_batch_output(path: Path) -> None:
    """ParameterError where the output is no file of lines."""
    if format_of(path, "output") != "jsonl":
        raise ParameterError("output", path.name, "must end with .jsonl: the results of a batch file are one, too")


def request_of(fields: Mapping[str, Any], model: str) -> BatchRequest:
    """The request of a line. model: what a body without a model asks. ParameterError names the field that is wrong."""
    if not isinstance(fields.get("custom_id"), str) or not fields["custom_id"]:
        raise ParameterError("custom_id", fields.get("custom_id"), "must be a text that tells the line from others")
    if fields.get("method") != "POST":
        raise ParameterError("method", fields.get("method"), "must be POST")
    path, body = fields.get("url"), fields.get("body")
    if not isinstance(path, str) or not path.startswith(_ROUTES) or not path.isascii() or not path.isprintable():
        raise ParameterError("url", path, "must be the path of a route, as /v1/chat/completions")
    if not isinstance(body, dict):
        raise ParameterError("body", body, "must be an object")
    if body.get("stream"):
        raise ParameterError("body.stream", body["stream"], "cannot be had in a file; leave it out")
    return BatchRequest(path, body if body.get("model") is not None else {**body, "model": model})


def answered(status: int, request_id: str, body: Any) -> dict[str, Any]:
    """The result of a line that was answered, well or not. body: the response's, a JSON value."""
    found: dict[str, Any] = {"status": status, "request_id": request_id, "body": body}
    usage = body.get("usage") if isinstance(body, dict) else None
    if isinstance(usage, dict):
        found["completion_tokens"] = usage.get("completion_tokens", usage.get("output_tokens", 0))
    if status >= 400:
        found["error"] = f"status {status}"
    return found


def batch_line(fields: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in the output: `response` of what was answered, whatever its status; `error` of what could not be."""
    response, error = None, None
    if "status" in result:
        response = {
            "status_code": result["status"],
            "request_id": result["request_id"],
            "body": result["body"],
        }
    else:
        error = {"code": "invalid_line", "message": result["error"]}
    return {
        "id": f"batch_req_{secrets.token_hex(12)}",
        "custom_id": fields.get("custom_id"),
        "response": response,
        "error": error,
    }
