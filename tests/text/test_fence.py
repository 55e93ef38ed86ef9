"""What a job behind the fence may not do: run on, take memory, write files, outlive its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from honed.text.fence import Fence, FenceError

JOB = """
import os, time

def prepare():
    def answer(request, data):
        if request["do"] == "echo":
            return {"given": request}, data
        if request["do"] == "sleep":
            time.sleep(60)
        if request["do"] == "loop":
            while True:
                pass
        if request["do"] == "one long call":
            9 ** (9 ** 9)
        if request["do"] == "memory":
            return {"size": len(bytearray(request["bytes"]))}, b""
        if request["do"] == "abort":
            os.abort()
        if request["do"] == "write":
            try:
                with open(request["path"], "wb") as file:
                    file.write(b"x")
            except OSError as error:
                return {"error": type(error).__name__}, b""
        return {}, b"y" * request.get("bytes", 0)
    return answer
"""


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("job") / "job.py"
    path.write_text(JOB)
    return path


def fence_of(job: Path, **changes: float) -> Fence:
    limits = {"seconds": 20.0, "cpu_seconds": 20.0, "memory_bytes": 64 << 20, "reply_bytes": 1 << 20, **changes}
    return Fence(
        job,
        seconds=limits["seconds"],
        cpu_seconds=limits["cpu_seconds"],
        memory_bytes=int(limits["memory_bytes"]),
        reply_bytes=int(limits["reply_bytes"]),
    )


@pytest.fixture
def fence(job: Path) -> Iterator[Fence]:
    made = fence_of(job)
    yield made
    made.close()


def test_a_question_and_its_answer(fence: Fence) -> None:
    data = bytes(range(256)) * 1000
    for number in range(3):
        assert fence.ask({"do": "echo", "number": number}, data) == ({"given": {"do": "echo", "number": number}}, data)


def test_the_next_question_after_a_death(fence: Fence) -> None:
    with pytest.raises(FenceError) as caught:
        fence.ask({"do": "abort"})
    assert caught.value.what == "died"
    assert fence.ask({"do": "echo"})[1] == b""


@pytest.mark.parametrize("what", ["sleep", "loop"])
def test_time(job: Path, what: str) -> None:
    fence = fence_of(job, seconds=0.5)
    with pytest.raises(FenceError) as caught:
        fence.ask({"do": what})
    assert caught.value.what == "time"
    fence.close()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="a clock of POSIX")
@pytest.mark.parametrize("what", ["loop", "one long call"])
def test_processor_time(job: Path, what: str) -> None:
    """However long the wall clock would allow; and waiting for questions takes none of it."""
    fence = fence_of(job, cpu_seconds=0.3)
    for _ in range(4):
        fence.ask({"do": "echo"}, bytes(1 << 19))
    with pytest.raises(FenceError) as caught:
        fence.ask({"do": what})
    assert caught.value.what == "time"
    fence.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel bounds memory here")
def test_memory(fence: Fence) -> None:
    assert fence.ask({"do": "memory", "bytes": 8 << 20})[0] == {"size": 8 << 20}
    with pytest.raises(FenceError) as caught:
        fence.ask({"do": "memory", "bytes": 1 << 30})
    assert caught.value.what == "died"


@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
def test_no_file_is_written(fence: Fence, tmp_path: Path) -> None:
    path = tmp_path / "file"
    try:
        fence.ask({"do": "write", "path": str(path)})
    except FenceError as error:  # the signal of the limit ends it
        assert error.what == "died"
    assert not path.exists() or path.stat().st_size == 0


def test_a_reply_that_is_too_large(job: Path) -> None:
    fence = fence_of(job, reply_bytes=1000)
    assert fence.ask({"do": "", "bytes": 900})[1] == b"y" * 900
    with pytest.raises(FenceError):
        fence.ask({"do": "", "bytes": 2000})
    fence.close()


def test_a_job_that_does_not_start(tmp_path: Path) -> None:
    path = tmp_path / "job.py"
    path.write_text("import nothing_of_this_name\n")
    with pytest.raises(FenceError) as caught:
        fence_of(path).ask({})
    assert caught.value.what == "start"


@pytest.mark.skipif(os.name == "nt", reason="parents and signals of POSIX")
@pytest.mark.parametrize("what", ["loop", "one long call", "sleep", None])
def test_no_child_outlives_its_parent(job: Path, what: str | None) -> None:
    """The parent is killed, and cannot tell anybody, while the job runs, in Python or below it, or waits."""
    script = textwrap.dedent(f"""
        import sys, threading, time
        from pathlib import Path
        from honed.text.fence import Fence
        fence = Fence(Path({str(job)!r}), seconds=60, cpu_seconds=1.5, memory_bytes=1 << 28, reply_bytes=1 << 20)
        fence.ask({{"do": "echo"}})
        print(fence._process.pid, flush=True)
        if {what!r}:
            threading.Thread(target=fence.ask, args=({{"do": {what!r}}},), daemon=True).start()
        time.sleep(60)
    """)
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(0.3)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until = time.monotonic() + 30
    while is_running(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_running(child)


def is_running(process: int) -> bool:
    """Not of a process that only waits to be collected by whoever adopted it."""
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False)
    return listed.stdout.strip()[:1] not in ("", "Z")
