"""Small files that ask for much: refused within a second and 100 MB of the whole process, or read within bounds."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gguf_builder import RawFile, pair, tensor, text

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

OPEN = """
import json, resource, sys
from pathlib import Path
from honed.checkpoints.gguf.checkpoint import GgufCheckpoint
from honed.errors import HonedError

def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime

resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
begun, error, texts = used(), "", 0
try:
    checkpoint = GgufCheckpoint(Path(sys.argv[1]))
    texts = len(checkpoint.header.metadata.texts("tokenizer.ggml.tokens") or [])
except HonedError as refused:
    error = str(refused)
seconds = used() - begun
lines = Path("/proc/self/status").read_text().splitlines()
peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
print(json.dumps({"error": error, "seconds": seconds, "peak": peak, "texts": texts}))
"""
ARCHITECTURE = pair("general.architecture", 8, "llama")


def opened(path: Path) -> dict[str, Any]:
    """Opens a file in a process of its own. Seconds are those of the processor, whatever else runs."""
    done = subprocess.run([sys.executable, "-c", OPEN, str(path)], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def strings(key: str, count: int, one: bytes = struct.pack("<Q", 0)) -> bytes:
    return text(key) + struct.pack("<IIQ", 9, 8, count) + one * count


def numbers(key: str, count: int) -> bytes:
    return text(key) + struct.pack("<IIQ", 9, 10, count) + bytes(8 * count)


def many_tensors(count: int, name: Callable[[int], str]) -> bytes:
    entries = [tensor(name(number), [32], 0, 0) for number in range(count)]
    return RawFile([ARCHITECTURE], entries, bytes(128)).bytes()


ASTRAL = text("\U0001f600".encode() + b"a" * ((1 << 20) - 4))
FLOODS: dict[str, tuple[Callable[[], bytes], str]] = {
    "tensors": (lambda: many_tensors(1 << 17, str), "tensor_count: is 131072, must be at most 65536"),
    "claimed tensors": (
        lambda: RawFile([ARCHITECTURE], tensor_count=4 << 20).bytes() + bytes(140 << 20),
        "tensor_count: is 4194304, must be at most",
    ),
    "tensors of one name": (lambda: many_tensors(1 << 16, lambda _: "t"), "t: the tensor appears twice"),
    "tensors in one place": (lambda: many_tensors(1 << 16, str), "overlaps"),
    "pairs": (lambda: RawFile([pair(str(i), 0, 1) for i in range(1 << 18)]).bytes(), "metadata_kv_count: is 262144"),
    "long keys": (
        lambda: RawFile([pair(f"{i:0>1000}", 0, 1) for i in range(1 << 14)]).bytes(),
        "general.architecture: is missing",
    ),
    "a long array of texts": (
        lambda: RawFile([strings("k", 3 << 20)]).bytes(),
        "k: length: is 3145728, must be at most",
    ),
    "long arrays of texts": (
        lambda: RawFile([strings(key, 1 << 20) for key in "abc"]).bytes(),
        "c: length: is 1048576, must be at most 0",
    ),
    "texts of which each needs four bytes a character": (
        lambda: RawFile([ARCHITECTURE, *(text(str(i)) + struct.pack("<I", 8) + ASTRAL for i in range(50))]).bytes(),
        "llama.attention.head_count: is missing",
    ),
    "arrays of numbers": (
        lambda: RawFile([ARCHITECTURE, *(numbers(str(i), 1 << 20) for i in range(7))]).bytes(),
        "llama.attention.head_count: is missing",
    ),
    "more than a header has": (
        lambda: RawFile([numbers(str(i), 1 << 20) for i in range(20)]).bytes(),
        "and a header may have 67108864",
    ),
    "duplicates at the end": (
        lambda: RawFile(
            [ARCHITECTURE, strings("t", 1 << 20), *(pair(f"k{i}", 0, 1) for i in range(9)), ARCHITECTURE]
        ).bytes(),
        "general.architecture: the key appears twice",
    ),
    "arrays in arrays": (
        lambda: RawFile([pair("k", 9, struct.pack("<IQ", 9, 1) * (1 << 20))]).bytes(),
        "k: arrays of arrays are not read",
    ),
}


@pytest.mark.parametrize("name", FLOODS)
def test_refused_in_little_time_and_memory(tmp_path: Path, name: str) -> None:
    make, message = FLOODS[name]
    path = tmp_path / "m.gguf"
    path.write_bytes(make())
    found = opened(path)
    assert message in found["error"]
    assert found["seconds"] < 1.0
    assert found["peak"] < 100e6


def test_lengths_that_leap_through_a_sparse_file(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    file = RawFile([strings("k", 1 << 18, struct.pack("<Q", 1 << 12))])
    path.write_bytes(file.bytes())
    with path.open("r+b") as opened_file:
        opened_file.truncate(2 << 30)
    found = opened(path)
    assert "is missing" in found["error"]
    assert found["seconds"] < 1.0
    assert found["peak"] < 100e6


def test_a_large_vocabulary_costs_its_texts_only_when_they_are_asked_for(tmp_path: Path) -> None:
    """Under 10 MB of header, of a model whose table has a row for each token."""
    count, width = 300_000, 32
    keys = {".context_length": 64, ".embedding_length": width, ".block_count": 1, ".feed_forward_length": width}
    pairs = [ARCHITECTURE, *(pair(f"llama{key}", 4, value) for key, value in keys.items())]
    pairs += [pair("llama.attention.head_count", 4, 2), pair("llama.attention.layer_norm_rms_epsilon", 6, 1e-5)]
    tokens = b"".join(text(f"token{number:07d}") for number in range(count))
    pairs.append(text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, count) + tokens)
    sizes = {"token_embd.weight": ([width, count], 2, count * 18), "output_norm.weight": ([width], 0, 4 * width)}
    sizes |= {f"blk.0.{part}_norm.weight": ([width], 0, 4 * width) for part in ("attn", "ffn")}
    parts = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    sizes |= {f"blk.0.{part}.weight": ([width, width], 2, width * 18) for part in parts}
    entries, offset = [], 0
    for name, (shape, kind, nbytes) in sizes.items():
        entries.append(tensor(name, shape, kind, offset))
        offset += -(-nbytes // 32) * 32
    path = tmp_path / "m.gguf"
    path.write_bytes(RawFile(pairs, entries, bytes(offset)).bytes())
    found = opened(path)
    assert (found["error"], found["texts"]) == ("", count)
    assert found["seconds"] < 2.0
    assert found["peak"] < 150e6
