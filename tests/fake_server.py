"""A server that speaks as much of OpenAI's protocol as a load needs, on a thread of its own."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """Counts a word of a prompt as two tokens; a reply has `max_tokens` pieces. What it was asked stands in `asked`."""

    protocol_version = "HTTP/1.1"
    asked: list[dict[str, Any]]
    first_s = 0.02
    fails = False

    def log_message(self, format: str, *words: Any) -> None:  # noqa: A002 - the library's name
        pass

    def do_GET(self) -> None:
        self._whole(200, {"data": [{"id": "fake"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(body | {"path": self.path, "key": self.headers.get("Authorization")})
        if body["max_tokens"] < 0:
            self._whole(400, {"error": {"message": "max_tokens"}})
            return
        if self.fails and body["max_tokens"] > 1:
            self._whole(500, {"error": {"message": "broken"}})
            return
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        time.sleep(self.first_s)
        try:
            for _ in range(body["max_tokens"]):
                self._event({"choices": [{"text": "a", "index": 0}]})
            prompt = body.get("prompt") or body["messages"][0]["content"]
            usage = {"prompt_tokens": 2 * len(prompt.split()), "completion_tokens": body["max_tokens"]}
            self._event({"choices": [], "usage": usage | {"prompt_tokens_details": {"cached_tokens": 4}}})
            self._chunk(b"data: [DONE]\n\n")
            self._chunk(b"")
        except OSError:
            self.close_connection = True

    def _whole(self, status: int, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _event(self, value: object) -> None:
        data = f": a comment\n\ndata: {json.dumps(value)}\n\n".encode()
        # Borders of chunks are not those of events.
        self._chunk(data[:20])
        self._chunk(data[20:])

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()


@contextmanager
def fake_server(**settings: Any) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Its address, and what it is asked. settings: attributes of `Handler`."""
    asked: list[dict[str, Any]] = []
    handler = type("Made", (Handler,), {"asked": asked, **settings})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
