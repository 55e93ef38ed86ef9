"""llama.cpp's own benchmarks, llama-bench and llama-batched-bench, from the sources that its Python package ships.

They are compiled the way of llama.cpp itself, without anything of the Python package's build, by the same compiler
with the same settings: what the package's build or the adapter costs would show. Compiled once, about ten minutes.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from honed.bench.contender import Contender
from honed.bench.peers.base import Announce, PeerError
from honed.bench.peers.environment import Build, Environment, Install
from honed.bench.peers.llama_cpp_package import (
    BUILD,
    MICRO_BATCH,
    PADDING,
    VERSION,
    compiler_variables,
    processor_flags,
)
from honed.bench.peers.own_tool import OwnTool

_SOURCES = f"llama_cpp_python-{VERSION}"
_CMAKE = {
    **BUILD,
    "LLAMA_BUILD_COMMON": "ON",
    "LLAMA_BUILD_TOOLS": "ON",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_APP": "OFF",
    "LLAMA_BUILD_SERVER": "OFF",
    "LLAMA_OPENSSL": "OFF",
    # The environment is renamed into place: programs find their libraries beside them.
    "CMAKE_BUILD_RPATH_USE_ORIGIN": "ON",
}
_PROGRAMS = ("llama-bench", "llama-batched-bench")
_KEEP = """
import pathlib, shutil, sys
place = pathlib.Path(sys.argv[1])
shutil.move(place / "build" / "bin", place / "tools")
for name in ("build", "sources"):
    shutil.rmtree(place / name)
"""
_TIMEOUT_S = 900
_BATCH = 2048
"""llama-bench's own default; prompts are computed in micro batches of `MICRO_BATCH` within it."""


def tools_environment() -> Environment:
    """The environment with the benchmarks."""
    return compiled_environment("llama.cpp-tools", _PROGRAMS, {})


def compiled_environment(name: str, programs: Sequence[str], settings: Mapping[str, str]) -> Environment:
    """cmake and ninja, and in its directory `tools` the compiled programs with their libraries. settings: of cmake,
    beside those that all programs here have alike."""
    download = ("{python}", "-m", "pip", "download", "--no-input", "--disable-pip-version-check", "--no-deps")
    archive = f"{{directory}}/sources/{_SOURCES}.tar.gz"
    given = tuple(f"-D{name}={value}" for name, value in {**_CMAKE, **settings}.items())
    return Environment(
        name,
        (Install(("cmake==4.4.5", "ninja==1.13.2")),),
        depends_on=processor_flags(),
        remark="compiles, about ten minutes, once",
        builds=(
            Build(
                (
                    *(*download, "--no-binary", "llama-cpp-python", f"llama-cpp-python=={VERSION}"),
                    *("--dest", "{directory}/sources"),
                )
            ),
            Build(("{python}", "-m", "tarfile", "-e", archive, "{directory}/sources")),
            Build(
                (
                    *("{directory}/bin/cmake", "-G", "Ninja", "-DCMAKE_MAKE_PROGRAM={directory}/bin/ninja", *given),
                    *("-S", f"{{directory}}/sources/{_SOURCES}/vendor/llama.cpp", "-B", "{directory}/build"),
                ),
                compiler_variables(),
            ),
            Build(("{directory}/bin/cmake", "--build", "{directory}/build", "--target", *programs)),
            Build(("{python}", "-c", _KEEP, "{directory}")),
        ),
    )


def own_tool(contender: Contender, announce: Announce) -> OwnTool:
    """llama-bench for one sequence, llama-batched-bench for several."""
    python = tools_environment().python(announce)
    workload = contender.workload
    name = _PROGRAMS[0] if workload.batch == 1 else _PROGRAMS[1]
    return OwnTool(
        name=name,
        function="honed.bench.peers.llama_cpp_tools:measure_in_worker",
        arguments={
            "program": str(python.parent.parent / "tools" / name),
            "file": contender.arguments["file"],
            "threads": workload.threads,
            "flash_attention": contender.arguments["flash_attention"],
            "prompt_tokens": workload.prompt_tokens,
            # The first of an adapter's new tokens comes of the prompt.
            "steps": contender.timed_tokens - 1,
            "sequences": workload.batch,
        },
    )


def measure_in_worker(arguments: Mapping[str, Any], spawned: float) -> dict[str, float]:
    """The function that `isolate` calls. arguments: program, file, threads, flash_attention, prompt_tokens, steps,
    sequences."""
    return speeds(arguments, _run)


def speeds(arguments: Mapping[str, Any], run: Callable[[Sequence[str]], str]) -> dict[str, float]:
    """Calls the program by `run`, which takes the words of a command and gives what it wrote to stdout."""
    prompt, steps = arguments["prompt_tokens"], arguments["steps"]
    threads, attention = str(arguments["threads"]), "on" if arguments["flash_attention"] else "off"
    common = [arguments["program"], "-m", arguments["file"], "-t", threads, "-fa", attention]
    common += ["-b", str(_BATCH), "-ub", str(MICRO_BATCH)]
    if arguments["sequences"] == 1:
        alone = [*common, "-o", "json", "-r", "1"]
        (prefill,) = json.loads(run([*alone, "-p", str(prompt), "-n", "0"]))
        (decode,) = json.loads(run([*alone, "-p", "0", "-n", str(steps), "-d", str(prompt)]))
        return {"prefill_tok_s": float(prefill["avg_ts"]), "decode_tok_s": float(decode["avg_ts"])}
    sequences = arguments["sequences"]
    room = -(-(prompt + steps) // PADDING) * PADDING * sequences
    lengths = ["-c", str(room), "-npp", str(prompt), "-ntg", str(steps), "-npl", str(sequences)]
    said = run([*common, "-tb", threads, *lengths, "--no-kv-unified", "--output-format", "jsonl"])
    lines = [line for line in said.splitlines() if line.startswith("{")]
    if not lines:
        raise PeerError(f"{Path(arguments['program']).name} measured nothing")
    found = json.loads(lines[-1])
    return {"prefill_tok_s": float(found["speed_pp"]), "decode_tok_s": float(found["speed_tg"])}


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerError(f"{Path(command[0]).name} cannot be run: {error}") from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
        raise PeerError(f"{Path(command[0]).name} failed with exit code {done.returncode}: {lines[-1]}")
    return done.stdout
