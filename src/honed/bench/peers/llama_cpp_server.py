"""llama.cpp's own server, from the sources that its Python package ships, compiled as its benchmarks are.

Compiled once, about fifteen minutes. Not here: who asks it (`honed bench --server`), and GGUF files (`gguf_model.py`).
"""

from __future__ import annotations

from pathlib import Path

from honed.bench.peers.base import Announce
from honed.bench.peers.environment import Environment
from honed.bench.peers.llama_cpp_package import MICRO_BATCH, PADDING
from honed.bench.peers.llama_cpp_tools import compiled_environment

PROGRAM = "llama-server"
_BATCH = 2048
"""The server's own default; prompts are computed in micro batches of `MICRO_BATCH` within it."""


def server_environment() -> Environment:
    """As that of the benchmarks, in its directory `tools`."""
    # Its page would be fetched; nobody looks at it here.
    settings = {"LLAMA_BUILD_SERVER": "ON", "LLAMA_USE_PREBUILT_UI": "OFF"}
    return compiled_environment("llama.cpp-server", (PROGRAM,), settings)


def server_program(announce: Announce) -> Path:
    """The compiled program, made now if it is not there yet. Errors: those of `Environment.python`."""
    return server_environment().python(announce).parent.parent / "tools" / PROGRAM


def server_command(
    program: Path, file: Path, *, port: int, threads: int, slots: int, positions: int, flash_attention: bool
) -> list[str]:
    """What starts it on loopback. slots: requests that run together, with room for so many positions each."""
    room = -(-positions // PADDING) * PADDING * slots
    attention = "on" if flash_attention else "off"
    return [
        *(str(program), "-m", str(file), "--host", "127.0.0.1", "--port", str(port)),
        *("-t", str(threads), "-tb", str(threads), "-fa", attention, "-b", str(_BATCH), "-ub", str(MICRO_BATCH)),
        *("-np", str(slots), "-c", str(room), "--no-kv-unified"),
    ]
