"""A process of its own for work on what nobody vouches for, and the bounds that it is held to.

A job (`template_worker.py`, `checkpoints/huggingface/tokenizer_worker.py`) is a Python file with a function `prepare`
that returns what answers requests. Here: the parent's side, which starts, asks, and kills after a time. Not here: the
child's side, which takes memory and files from itself (`fence_worker.py`), and what the jobs do.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

_WORKER = Path(__file__).with_name("fence_worker.py")
_START_SECONDS = 30.0


class FenceError(Exception):
    """No reply: the time was over, the process died (of memory, or of what it was given), or it does not start."""

    def __init__(self, what: Literal["time", "died", "start"], reason: str = "") -> None:
        super().__init__(reason or what)
        self.what = what


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    with process:  # closes the pipes and waits
        pass


class Fence:
    """Starts the process at the first use, uses it again, and replaces it after a killing. Safe for threads.

    seconds: wall time of a request, after which the process is killed, whatever it does. cpu_seconds: processor time
    of a request. memory_bytes: beyond what the prepared job takes; the kernel enforces it on Linux, elsewhere it is
    not bounded. reply_bytes: of one reply. On POSIX systems the process writes no file, and ends by itself soon after
    its parent has.
    """

    def __init__(self, job: Path, *, seconds: float, cpu_seconds: float, memory_bytes: int, reply_bytes: int) -> None:
        self._job = job
        self._seconds = seconds
        self._cpu_seconds = cpu_seconds
        self._memory_bytes = memory_bytes
        self._reply_bytes = reply_bytes
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._finalizer: weakref.finalize[Any, Fence] | None = None

    def ask(self, request: Mapping[str, Any], data: bytes = b"") -> tuple[dict[str, Any], bytes]:
        """The reply to JSON values and bytes. FenceError if there is none."""
        head = json.dumps(request).encode()
        message = len(head).to_bytes(4, "big") + len(data).to_bytes(4, "big") + head + data
        with self._lock:
            process = self._started()
            try:
                reply = self._exchange(process, message, self._seconds)
            except BaseException:  # out of time, or interrupted between question and answer
                self._stop()
                raise
            if reply is None:
                self._stop()
                raise FenceError("time" if process.returncode == -getattr(signal, "SIGPROF", 0) else "died")
            return reply

    def close(self) -> None:
        """Ends the process."""
        with self._lock:
            self._stop()

    def _started(self) -> subprocess.Popen[bytes]:
        # After a fork both processes would talk on one pipe: the child gets a process of its own.
        if self._process is not None and self._owner == os.getpid() and self._process.poll() is None:
            return self._process
        self._stop()
        limits = [str(self._memory_bytes), str(self._cpu_seconds)]
        command = [sys.executable, "-I", str(_WORKER), json.dumps(sys.path), *limits, str(self._job)]
        # Threads of a library that the job uses would each take address space.
        environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1", "RUST_BACKTRACE": "0"}
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
            )
        except OSError as error:
            raise FenceError("start", str(error)) from error
        self._process, self._owner = process, os.getpid()
        self._finalizer = weakref.finalize(self, _end, process)
        try:
            ready = self._exchange(process, b"", _START_SECONDS)
        except FenceError:
            ready = None
        except BaseException:
            self._stop()
            raise
        if ready is None:
            self._stop()
            raise FenceError("start", "is everything installed that honed needs?")
        return process

    def _stop(self) -> None:
        if self._finalizer is not None and self._owner == os.getpid():
            self._finalizer()
        elif self._finalizer is not None:
            self._finalizer.detach()
        self._process = self._finalizer = None

    def _exchange(
        self, process: subprocess.Popen[bytes], message: bytes, seconds: float
    ) -> tuple[dict[str, Any], bytes] | None:
        """Sends a message unless it is empty, and reads one reply; None if the process ended."""
        assert process.stdin is not None and process.stdout is not None
        late = threading.Event()

        def kill() -> None:
            late.set()
            process.kill()

        clock = threading.Timer(seconds, kill)
        clock.daemon = True
        clock.start()
        try:
            if message:
                process.stdin.write(message)
                process.stdin.flush()
            sizes = process.stdout.read(8)
            head_size, data_size = int.from_bytes(sizes[:4], "big"), int.from_bytes(sizes[4:], "big")
            # More is not a reply of the worker.
            within = head_size > 0 and head_size + data_size <= self._reply_bytes
            head = process.stdout.read(head_size) if within else b""
            data = process.stdout.read(data_size) if within else b""
        except OSError:  # a broken pipe
            head = b""
        finally:
            clock.cancel()
        if late.is_set():
            raise FenceError("time")
        if not head or len(head) < head_size or len(data) < data_size:
            return None
        reply: dict[str, Any] = json.loads(head)
        return reply, data
