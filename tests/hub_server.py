"""A Hugging Face Hub on loopback with one repository, for tests in processes of their own."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

COMMIT = "a" * 40


class Hub:
    """What was asked of it is in `requests`; `extra` are names that it lists and does not have."""

    def __init__(self, root: Path, repository: str, extra: Sequence[str] = ()) -> None:
        self.root, self.repository, self.extra = root, repository, extra
        self.requests: list[str] = []
        self.endpoint = ""

    def run(self, program: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """A program that sees this hub: the library reads its settings when it is imported."""
        settings = {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        return subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=False,
            env=inherited | settings | environment,
            timeout=120,
        )

    def files(self) -> list[str]:
        return [*(str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()), *self.extra]


@contextmanager
def hub(root: Path, repository: str = "me/model", extra: Sequence[str] = ()) -> Iterator[Hub]:
    """Serves a directory as a repository."""
    served = Hub(root, repository, extra)

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(self.path.split("?")[0])
            served.requests.append(f"{self.command} {path}")
            head = {"X-Repo-Commit": COMMIT}
            files = served.files()
            if path.startswith(f"/api/models/{repository}/tree/"):
                listed = [{"type": "file", "path": name, "size": _size(root / name), "oid": "0" * 40} for name in files]
                body = json.dumps(listed).encode()
            elif path.startswith(f"/api/models/{repository}"):
                siblings = [{"rfilename": name} for name in files]
                body = json.dumps(
                    {"id": repository, "modelId": repository, "sha": COMMIT, "siblings": siblings}
                ).encode()
            else:
                file = root / path.partition("/resolve/")[2].partition("/")[2]
                if not file.is_file():
                    self.send_error(404)
                    return
                body = file.read_bytes()
                head["ETag"] = f'"{hashlib.sha256(body).hexdigest()}"'
            self.send_response(200)
            for name, value in {**head, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 5
