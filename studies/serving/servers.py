"""Servers in processes of their own, on free ports of this machine, and loads upon them. Nothing is measured here."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from honed.bench.load.connection import Address, send
from honed.bench.load.drive import drive, model_of
from honed.bench.load.plan import LoadPlan
from honed.bench.load.report import LoadReport, report

_LOAD_SECONDS = 120.0


@dataclass
class Server:
    """One that is up. cpu_seconds: of its process so far."""

    url: str
    process: subprocess.Popen[bytes]

    def cpu_seconds(self) -> float:
        """Of user and system, of /proc (Linux)."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def load(self, plan: LoadPlan) -> LoadReport:
        """What the load came to. AssertionError where a request failed."""
        address = Address.of(self.url)

        async def run() -> LoadReport:
            model = await model_of(address, None)
            return report(plan, model, await drive(address, plan, model))

        found = asyncio.run(run())
        assert not found.failed, found.errors
        return found


@contextlib.contextmanager
def honed(model: str, *words: str, threads: int = 2) -> Iterator[Server]:
    """`honed serve`."""
    command = [sys.executable, "-m", "honed.cli.main", "serve", f"model={model}", "--threads", str(threads), *words]
    with _running(command) as server:
        yield server


@contextlib.contextmanager
def llama_cpp(program: Path, file: Path, *, slots: int, positions: int, threads: int = 2) -> Iterator[Server]:
    """llama.cpp's, with flash attention."""
    from honed.bench.peers.llama_cpp_server import server_command

    words = server_command(
        program, file, port=0, threads=threads, slots=slots, positions=positions, flash_attention=True
    )
    with _running(words) as server:
        yield server


@contextlib.contextmanager
def _running(words: Sequence[str]) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = list(words)
    if "--port" in command:
        command[command.index("--port") + 1] = str(port)
    else:
        command += ["--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(port, process)
        yield Server(f"http://127.0.0.1:{port}", process)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until /health says 200. AssertionError where it ends before, or takes too long."""
    deadline = time.monotonic() + _LOAD_SECONDS
    address = Address.of(f"http://127.0.0.1:{port}")

    async def status() -> int:
        answer = await send(address, "GET", "/health")
        answer.close()
        return answer.status

    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server ended with {process.returncode}"
        with contextlib.suppress(OSError):
            if asyncio.run(status()) == 200:
                return
        time.sleep(0.1)
    raise AssertionError("the server does not come up")


async def stream(
    url: str, path: str, body: dict[str, object], times: list[float] | None = None
) -> tuple[list[float], float, list[str]]:
    """Times of the pieces of one streamed reply, that when it was sent (time.perf_counter), and the texts.

    times: a list that is filled as they come.
    """
    times = [] if times is None else times
    sent, texts = time.perf_counter(), []
    answer = await send(Address.of(url), "POST", path, body)
    try:
        assert answer.status == 200, await answer.body()
        async for data in answer.events():
            if data == "[DONE]":
                break
            for choice in json.loads(data).get("choices", ()):
                text = choice.get("text") or (choice.get("delta") or {}).get("content")
                if text:
                    times.append(time.perf_counter())
                    texts.append(text)
    finally:
        answer.close()
    return times, sent, texts
