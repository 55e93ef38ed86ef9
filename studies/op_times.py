"""Where a step goes, op by op: seconds of the executor's ops of one name together.

    python studies/op_times.py MODEL [--decode 1,16] [--prompt 512] [--threads 2] [--repeat 15]

Decoding steps have one row for each sequence, behind 64 tokens that fill the cache; a prompt is one step. Tokens are
drawn at random, anew for each step, so that rows of a mixture go to experts of all sorts. Of each op the quickest of
several steps counts, which other work on the machine disturbs least.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np

from honed.backends.base import PAGE_TOKENS, Batch
from honed.backends.native import NativeBackend
from honed.backends.native_config import NativeConfig
from honed.checkpoints.open import open_checkpoint

FILLED = 64


def batch(rows: int, sequences: int, first: int, vocabulary: int, rng: np.random.Generator) -> Batch:
    """`rows` tokens of each sequence from position `first`, logits of the last of each."""
    pages = -(-(first + rows) // PAGE_TOKENS)
    return Batch(
        tokens=rng.integers(0, vocabulary, rows * sequences).astype(np.int32),
        positions=np.tile(np.arange(first, first + rows, dtype=np.int32), sequences),
        sequences=np.repeat(np.arange(sequences, dtype=np.int32), rows),
        page_tables=np.arange(sequences * pages, dtype=np.int32).reshape(sequences, pages),
        selected=np.arange(rows - 1, rows * sequences, rows, dtype=np.int32),
    )


def report(backend: NativeBackend, label: str, steps: list[Batch]) -> None:
    runs = [backend.profile(step) for step in steps]
    quickest = [min(run[op][1] for run in runs) for op in range(len(runs[0]))]
    spent: dict[str, float] = defaultdict(float)
    calls: dict[str, int] = defaultdict(int)
    for (name, _), seconds in zip(runs[0], quickest, strict=True):
        spent[name] += seconds
        calls[name] += 1
    whole = sum(quickest)
    print(f"{label}: {1e3 * whole:.2f} ms")
    for name, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"  {name:20} {1e3 * seconds:8.3f} ms {100 * seconds / whole:5.1f} %  {calls[name]} ops")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--decode", default="1,16")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=15)
    given = parser.parse_args()
    counts = [int(count) for count in given.decode.split(",")]
    tokens = max(max(counts) * (FILLED + PAGE_TOKENS), given.prompt + PAGE_TOKENS)
    config = NativeConfig(kv_tokens=tokens, threads=given.threads, step_tokens=max(given.prompt, *counts))
    backend = NativeBackend.load(open_checkpoint(given.model), config)
    rng = np.random.default_rng(1)
    for count in counts:
        steps = [batch(1, count, FILLED, backend.vocabulary, rng) for _ in range(given.repeat)]
        report(backend, f"decode of {count}", steps)
    prompts = [batch(given.prompt, 1, 0, backend.vocabulary, rng) for _ in range(max(3, given.repeat // 4))]
    report(backend, f"prompt of {given.prompt}", prompts)


if __name__ == "__main__":
    main()
