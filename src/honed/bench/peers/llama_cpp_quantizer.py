"""llama.cpp's own quantizer with an importance matrix: llama-imatrix and llama-quantize, compiled as its benchmarks
are.

Compiled once, about fifteen minutes. Not here: the dense GGUF file that they begin with (`gguf_model.py`), and what
their files are worth (`api/bench_recipes.py`)."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed.bench.isolate import call_isolated
from honed.bench.peers.base import Announce, PeerError
from honed.bench.peers.conversion import converted
from honed.bench.peers.environment import Environment
from honed.bench.peers.llama_cpp_package import VERSION
from honed.bench.peers.llama_cpp_package import environment as package_environment
from honed.bench.peers.llama_cpp_tools import compiled_environment

if TYPE_CHECKING:
    from honed.checkpoints.base import Checkpoint

TYPES = (*("Q3_K_S", "Q3_K_M", "IQ3_S", "IQ4_XS", "IQ4_NL", "Q4_0", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K"),)
"""What files it makes, by its names: three to six bits a weight."""
_PROGRAMS = ("llama-imatrix", "llama-quantize")
_WINDOW = 512
_TIMEOUT_S = 3600
_MARGIN = 64 << 20


def quantizer_environment() -> Environment:
    """As that of the benchmarks, with the two programs in its directory `tools`."""
    return compiled_environment("llama.cpp-quantizer", _PROGRAMS, {})


def dense_file(checkpoint: Checkpoint, announce: Announce) -> Path:
    """The weights of a checkpoint as a bfloat16 GGUF file, made now if it is not there yet.

    PeerError where it cannot be written as one."""
    from honed.bench.peers.dense_copy import dense_directory
    from honed.bench.peers.gguf_model import splitting_name

    source = dense_directory(checkpoint)
    python = str(package_environment().python(announce))

    def make(directory: Path) -> None:
        announce(f"writing {checkpoint.path.name} as a dense GGUF file")
        job = {
            "source": str(source),
            "target": str(directory / "model.gguf"),
            "splitting": splitting_name(source / "tokenizer.json"),
        }
        call_isolated("honed.bench.peers.llama_cpp_quantizer:write_in_worker", job, interpreter=python)

    size = sum(file.stat().st_size for file in source.glob("*.safetensors"))
    return converted(checkpoint, f"llama.cpp-{VERSION}-bf16", make, needed=size + _MARGIN) / "model.gguf"


def write_in_worker(arguments: Mapping[str, Any], spawned: float) -> None:
    """The function that `isolate` calls in the environment of the peer. arguments: source, target, splitting."""
    from honed.bench.peers.gguf_model import write_gguf

    write_gguf(Path(arguments["source"]), Path(arguments["target"]), arguments["splitting"])


def importance_matrix(dense: Path, text: Path, target: Path, *, threads: int, announce: Announce) -> None:
    """Of the activations on a text, written to `target` by llama-imatrix. PeerError where that fails."""
    announce(f"llama-imatrix on {text.name}")
    sizes = ["-c", str(_WINDOW), "-b", str(_WINDOW), "-t", str(threads), "--no-ppl"]
    _run("llama-imatrix", ["-m", str(dense), "-f", str(text), "-o", str(target), *sizes], announce)


def quantized(dense: Path, matrix: Path, kind: str, target: Path, *, threads: int, announce: Announce) -> None:
    """The file of one type, by llama-quantize. PeerError where it refuses."""
    announce(f"llama-quantize to {kind}")
    _run("llama-quantize", ["--imatrix", str(matrix), str(dense), str(target), kind, str(threads)], announce)


def _run(program: str, words: list[str], announce: Announce) -> None:
    place = quantizer_environment().python(announce).parent.parent / "tools" / program
    try:
        done = subprocess.run(
            [str(place), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerError(f"{program} cannot be run: {error}") from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
        raise PeerError(f"{program} failed with exit code {done.returncode}: {lines[-1]}")
