"""Log lines: JSON objects, or text. Control characters of clients are escaped in both. Nothing here is ever given a
prompt or a reply."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

from honed.errors import plain

_NAMES = ("honed.server", "honed.access")


class _Formatter(logging.Formatter):
    def __init__(self, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = getattr(record, "fields", {})
        message = record.getMessage()
        if record.exc_info:
            # Of faults of ours; on one line, so that nothing in it can look like a line of its own.
            message += " | " + self.formatException(record.exc_info)
        if self._as_json:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
            line = {"time": stamp, "level": record.levelname.lower(), "message": message, **fields}
            return json.dumps(line, ensure_ascii=True)
        told = " ".join(f"{name}={value}" for name, value in fields.items())
        return plain(f"{record.levelname.lower()}: {message}{' ' if told else ''}{told}")


def set_up(*, as_json: bool) -> None:
    """Lines of the server go to standard error, from INFO up; those of requests only as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(as_json))
    for name in _NAMES:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.INFO)
    if not as_json:
        logging.getLogger("honed.access").setLevel(logging.WARNING)
