"""The process that renders chat templates, and the bounds that it is held to.

Not here: what a template sees (`text/chat_template.py`) and the environment it runs in (`text/template_worker.py`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed.errors import TemplateError

_WORKER = Path(__file__).with_name("template_worker.py")
_START_SECONDS = 30.0


@dataclass(frozen=True)
class Limits:
    """What a rendering may take.

    seconds: wall time, after which the process is killed, whatever it does. characters: of the text.
    memory_bytes: beyond what the renderer itself takes; the kernel enforces it on Linux, elsewhere it is not bounded.
    """

    seconds: float = 5.0
    characters: int = 4_000_000
    memory_bytes: int = 256 << 20


class _OutOfTimeError(Exception):
    """The process was ended by the clock."""


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    with process:  # closes the pipes and waits
        pass


class Renderer:
    """Starts the process at the first use, uses it again, and replaces it after a killing. Safe for threads."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._finalizer: weakref.finalize[Any, Renderer] | None = None

    def render(self, template: str, variables: Mapping[str, Any]) -> str:
        """The rendered text. TemplateError says what the template did, or which limit it went over."""
        request = {"template": template, "variables": variables, "characters": self._limits.characters}
        data = json.dumps(request).encode()
        with self._lock:
            process = self._started()
            try:
                reply = self._exchange(process, data, self._limits.seconds)
            except _OutOfTimeError:
                self._stop()
                raise TemplateError(f"chat template: it took longer than {self._limits.seconds:g} s") from None
            if reply is None:
                self._stop()
                raise TemplateError(
                    "chat template: the renderer died; the template needs too much memory or nests too deeply"
                )
        if "text" in reply:
            return str(reply["text"])
        raise TemplateError(f"chat template: {reply['error']}")

    def close(self) -> None:
        """Ends the process."""
        with self._lock:
            self._stop()

    def _started(self) -> subprocess.Popen[bytes]:
        # After a fork both processes would talk on one pipe: the child gets a renderer of its own.
        if self._process is not None and self._owner == os.getpid() and self._process.poll() is None:
            return self._process
        self._stop()
        command = [sys.executable, "-I", str(_WORKER), json.dumps(sys.path), str(self._limits.memory_bytes)]
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError as error:
            raise TemplateError(f"chat template: the renderer does not start: {error}") from error
        self._process, self._owner = process, os.getpid()
        self._finalizer = weakref.finalize(self, _end, process)
        try:
            ready = self._exchange(process, b"", _START_SECONDS)
        except _OutOfTimeError:
            ready = None
        if ready is None:
            self._stop()
            raise TemplateError("chat template: the renderer does not start; is jinja2 installed?")
        return process

    def _stop(self) -> None:
        if self._finalizer is not None and self._owner == os.getpid():
            self._finalizer()
        elif self._finalizer is not None:
            self._finalizer.detach()
        self._process = self._finalizer = None

    def _exchange(self, process: subprocess.Popen[bytes], data: bytes, seconds: float) -> dict[str, Any] | None:
        """Sends `data` unless empty, and reads one reply; None if the process ended. Over the time: _OutOfTimeError."""
        assert process.stdin is not None and process.stdout is not None
        late = threading.Event()

        def kill() -> None:
            late.set()
            process.kill()

        clock = threading.Timer(seconds, kill)
        clock.daemon = True
        clock.start()
        try:
            if data:
                process.stdin.write(len(data).to_bytes(4, "big") + data)
                process.stdin.flush()
            size = int.from_bytes(process.stdout.read(4), "big")
            # JSON takes at most twelve bytes a character; more is not a reply of the worker.
            reply = process.stdout.read(size) if 0 < size <= 12 * self._limits.characters + 65536 else b""
        except OSError:  # a broken pipe
            reply = b""
        finally:
            clock.cancel()
        if late.is_set():
            raise _OutOfTimeError
        if not reply or len(reply) < size:
            return None
        message: dict[str, Any] = json.loads(reply)
        return message
