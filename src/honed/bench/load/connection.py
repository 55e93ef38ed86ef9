"""One request over HTTP/1.1, its answer read as it comes. Not here: what is asked and what is counted.

Written over the streams of asyncio, so that what the client costs is small beside what it measures, and the same for
every server: it shares the machine with it. HTTP/1.1 (RFC 9112): chunked bodies, bodies of a given length, and those
that end with the connection; server-sent events by their `data:` lines.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from honed.errors import HonedError, ParameterError, quoted

_LINE = 1 << 20
"""The longest line that is read."""


class ServerError(HonedError):
    """The server cannot be reached, or does not speak HTTP."""

    exit_code = 1


@dataclass(frozen=True)
class Address:
    """Where a server listens. prefix: what stands before every path."""

    host: str
    port: int
    tls: bool
    prefix: str

    @staticmethod
    def of(url: str) -> Address:
        """Reads `http://host:port`, with or without /v1 at its end. ParameterError for anything else."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ParameterError("server", url, "must be an address as http://127.0.0.1:8000")
        tls = parts.scheme == "https"
        prefix = parts.path.rstrip("/").removesuffix("/v1")
        return Address(parts.hostname, port or (443 if tls else 80), tls, prefix)


class Answer:
    """Status, headers in lower case, and a body that is read once. To be closed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.status = 0
        self.headers: dict[str, str] = {}

    async def begin(self) -> None:
        """Reads the head."""
        words = (await self._line()).split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
            raise ServerError(f"the server answers {quoted(' '.join(words))}, which is not HTTP/1.1")
        self.status = int(words[1])
        while line := await self._line():
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body, as it comes."""
        if "chunked" in self.headers.get("transfer-encoding", ""):
            while size := int((await self._line()).partition(";")[0] or "0", 16):
                yield await self._reader.readexactly(size)
                await self._line()
            await self._line()
            return
        left = int(self.headers.get("content-length", -1))
        while left != 0:
            data = await self._reader.read(1 << 16 if left < 0 else min(left, 1 << 16))
            if not data:
                return
            left -= len(data) if left > 0 else 0
            yield data

    async def body(self) -> bytes:
        """All of it."""
        return b"".join([piece async for piece in self.pieces()])

    async def events(self) -> AsyncIterator[str]:
        """The data of each server-sent event; comments and other fields are left out."""
        rest = b""
        async for piece in self.pieces():
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if line.startswith(b"data:"):
                    yield line[5:].strip().decode()

    def close(self) -> None:
        """Breaks off whatever still comes."""
        self._writer.close()

    async def _line(self) -> str:
        return (await self._reader.readline()).decode("latin-1").rstrip("\r\n")


async def send(
    address: Address, method: str, path: str, body: Mapping[str, Any] | None = None, key: str | None = None
) -> Answer:
    """Opens a connection, sends a request, and reads the head of the answer. Errors: ServerError, OSError."""
    context = ssl.create_default_context() if address.tls else None
    reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context, limit=_LINE)
    data = b"" if body is None else json.dumps(body).encode()
    head = [
        f"{method} {address.prefix}{path} HTTP/1.1",
        f"Host: {address.host}:{address.port}",
        "Connection: close",
        f"Content-Length: {len(data)}",
        *(["Content-Type: application/json"] if data else []),
        *([f"Authorization: Bearer {key}"] if key else []),
    ]
    answer = Answer(reader, writer)
    try:
        writer.write("\r\n".join([*head, "", ""]).encode() + data)
        await writer.drain()
        await answer.begin()
    except BaseException:
        answer.close()
        raise
    return answer
