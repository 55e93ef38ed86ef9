"""Memory of a KV cache by the length of one sequence: anonymous memory of the process (RssAnon), a process a length.

    python studies/window_memory.py gemma3-270m 1024 4096 16384

Of a model whose layers see a window, the pages of those layers stay as many however long the sequence is. What a process
has before it computes anything is subtracted; activations of a step are part of what is shown, and the same for any
length over that of a step. Results are in docs/measurements/windows.md.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import honed
from honed.runtime.engine_options import EngineOptions

DECODED = 16


def anonymous() -> int:
    """Bytes of this process that are of no file."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon:"))


def measure(name: str, positions: int) -> None:
    with honed.load(name, engine=EngineOptions(speculation="off")) as model:
        assert isinstance(model, honed.LanguageModel)
        before = anonymous()
        prompt = [index * 37 % 2000 + 10 for index in range(positions - DECODED)]
        started = time.perf_counter()
        tokens = model.generate(prompt, max_tokens=DECODED, temperature=0).tokens
        seconds = time.perf_counter() - started
        print(f"{positions} positions: {(anonymous() - before) / 2**20:.1f} MiB, {seconds:.1f} s, {list(tokens)}")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        measure(sys.argv[1], int(sys.argv[2]))
    for each in sys.argv[2:] if len(sys.argv) > 3 else []:
        subprocess.run([sys.executable, __file__, sys.argv[1], each], check=True)
