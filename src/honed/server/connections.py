"""Connections as uvicorn has them, with limits on how long one may stand without a request, and on its header.

uvicorn closes a connection that is idle between requests, but waits for ever for the first one, and for the rest of a
header that stalls: some thousand such connections would use up the descriptors of the process. And it keeps a header
in memory however long it is; here it is refused while it is read.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from honed.server.errors import Fault, openai_error

FIRST_REQUEST_SECONDS = 20.0
"""From the opening of a connection to the end of the header of its first request, and so for each further one."""


MOST_HEADER = 256 << 10
"""Bytes of a header that are read at most; more than `limits.py` takes, as a body of before may be counted with it."""
_LINGER_SECONDS = 1.0
"""So long what still comes is thrown away, or the refusal would be lost with the connection."""


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection whose header does not come, or does not end."""

    _header_timer: asyncio.TimerHandle | None = None
    _in_header = True
    _header_bytes = 0
    _refused = False

    def data_received(self, data: bytes) -> None:
        """As the base class, with a count of what belongs to a header that has not ended."""
        if self._refused:
            return
        super().data_received(data)
        self._header_bytes = self._header_bytes + len(data) if self._in_header else 0
        if self._header_bytes > MOST_HEADER and not self.transport.is_closing():
            self._refuse()

    def connection_made(self, transport: Any) -> None:
        """As the base class, with a timer."""
        super().connection_made(transport)
        self._header_timer = self.loop.call_later(FIRST_REQUEST_SECONDS, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """As the base class."""
        self._unset_timer()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """As the base class; the header is due from now on."""
        super().on_message_begin()
        self._in_header = True
        if self._header_timer is None:
            self._header_timer = self.loop.call_later(FIRST_REQUEST_SECONDS, self._give_up)

    def on_headers_complete(self) -> None:
        """As the base class; the header is there."""
        self._unset_timer()
        self._in_header = False
        super().on_headers_complete()

    def _refuse(self) -> None:
        self._refused = True
        self._unset_timer()
        self.headers = []
        body = openai_error(
            Fault(status=431, message="the header of the request is too long", code="headers_too_large")
        )
        self.transport.write(
            b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(body), body)
        )
        self._header_timer = self.loop.call_later(_LINGER_SECONDS, self._give_up)

    def _give_up(self) -> None:
        self._header_timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _unset_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None
