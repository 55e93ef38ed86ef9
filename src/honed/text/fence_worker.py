"""The child's side of `text/fence.py`, run as a script: holds itself to its limits and answers requests.

What a job is given may be made to loop, to grow or to break a library. The parent kills what takes too long; memory,
files and processor time are refused by the kernel, so that a job whose parent is gone ends too.

Protocol on stdin and stdout: two lengths of four bytes (big endian), JSON, bytes. A first reply says that it is ready.
Arguments: the parent's import path as JSON, memory in bytes, processor time of a request, the file of the job.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

Answer = Callable[[dict[str, Any], bytes], tuple[dict[str, Any], bytes]]
_WATCH_SECONDS = 0.5


def load(job: Path) -> Answer:
    """What answers requests: the result of the function `prepare` of a file."""
    spec = importlib.util.spec_from_file_location("job", job)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    answer: Answer = module.prepare()
    return answer


def restrict(memory_bytes: int) -> None:
    """No more memory than `memory_bytes` beyond the present (where the kernel enforces it), no files, no core dumps."""
    try:
        import resource
    except ImportError:  # no POSIX limits: time and output stay bounded
        return
    limits = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0)]
    with suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limits.append((resource.RLIMIT_AS, pages * os.sysconf("SC_PAGE_SIZE") + memory_bytes))
    for kind, value in limits:
        with suppress(OSError, ValueError):
            resource.setrlimit(kind, (value, value))


def allow(seconds: float) -> None:
    """Processor time from now on, after which the kernel ends the process; 0: no bound."""
    with suppress(AttributeError):  # no such clock: the parent's time stays
        signal.setitimer(signal.ITIMER_PROF, seconds)


def watch(parent: int) -> None:
    """Ends the process when its parent has ended, or has closed the pipe."""
    try:
        from select import poll
    except ImportError:
        return
    pipe = poll()
    pipe.register(sys.stdin.fileno(), 0)  # without asking for anything it tells of the other end's closing
    while not pipe.poll(_WATCH_SECONDS * 1000) and os.getppid() == parent:
        pass
    os._exit(1)


def send(stream: BinaryIO, message: dict[str, Any], data: bytes = b"") -> None:
    """Writes one message."""
    head = json.dumps(message).encode()
    stream.write(len(head).to_bytes(4, "big") + len(data).to_bytes(4, "big") + head)
    stream.write(data)
    stream.flush()


def receive(read: Callable[[int], bytes]) -> tuple[dict[str, Any], bytes] | None:
    """Reads one message; None at the end of the stream."""
    sizes = read(8)
    if len(sizes) < 8:
        return None
    message: dict[str, Any] = json.loads(read(int.from_bytes(sizes[:4], "big")))
    return message, read(int.from_bytes(sizes[4:], "big"))


def main() -> None:
    """Serves requests until the parent closes the pipe or is gone."""
    # Ctrl-C goes to the whole foreground group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    path, memory_bytes, seconds, job = sys.argv[1:]
    sys.path[:] = json.loads(path)
    answer = load(Path(job))
    threading.Thread(target=watch, args=(os.getppid(),), daemon=True).start()
    restrict(int(memory_bytes))
    send(sys.stdout.buffer, {})
    while (request := receive(sys.stdin.buffer.read)) is not None:
        allow(float(seconds))
        reply = answer(*request)
        allow(0)
        send(sys.stdout.buffer, *reply)


if __name__ == "__main__":
    main()
