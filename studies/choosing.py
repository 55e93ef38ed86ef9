"""What the choice of 64 tokens takes: on the executor's threads, and by numpy from the same logits.

    python studies/choosing.py CHECKPOINT [TEXT]

The logits are those of 64 places of a text, cut into prompts of 24 tokens. Medians of nine calls; each includes making
the 64 rows and reading what was chosen.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import numpy as np

from honed.backends.base import Batch
from honed.backends.native import NativeBackend
from honed.backends.native_config import NativeConfig
from honed.checkpoints.open import open_checkpoint
from honed.runtime.request import Sampling
from honed.runtime.sampling import Sampler, choose_row

ROWS, LENGTH = 64, 24
KINDS = {
    "greedy": Sampling(temperature=0),
    "temperature": Sampling(temperature=0.8, seed=1),
    "top_p": Sampling(temperature=0.8, top_p=0.95, seed=1),
    "top_k and top_p": Sampling(temperature=0.8, top_k=40, top_p=0.95, seed=1),
    "top_p and repetition": Sampling(temperature=0.8, top_p=0.95, repetition_penalty=1.1, seed=1),
    "top_p and all penalties": Sampling(
        temperature=0.8, top_p=0.95, repetition_penalty=1.1, presence_penalty=0.5, frequency_penalty=0.5,
        dry_multiplier=0.8, seed=1,
    ),
    "top_p and logprobs 5": Sampling(temperature=0.8, top_p=0.95, logprobs=5, seed=1),
}  # fmt: skip


def batch_of(tokens: list[int]) -> Batch:
    starts = np.linspace(0, len(tokens) - LENGTH, ROWS).astype(int)
    return Batch(
        tokens=np.array([tokens[start : start + LENGTH] for start in starts], dtype=np.int32).reshape(-1),
        positions=np.tile(np.arange(LENGTH, dtype=np.int32), ROWS),
        sequences=np.repeat(np.arange(ROWS, dtype=np.int32), LENGTH),
        page_tables=np.arange(ROWS, dtype=np.int32).reshape(ROWS, 1),
        selected=np.arange(LENGTH - 1, ROWS * LENGTH, LENGTH, dtype=np.int32),
    )


def main(name: str, text: str) -> None:
    checkpoint = open_checkpoint(name)
    config = NativeConfig(kv_tokens=ROWS * 32, step_tokens=ROWS * LENGTH, keep_packed=False)
    backend = NativeBackend.load(checkpoint, config)
    tokens = checkpoint.tokenizer().encode(Path(text).read_text())
    batch = batch_of(tokens)
    logits = backend.forward(batch)
    backend.compute(batch)
    print(f"{ROWS} rows of {backend.vocabulary} logits, {backend.threads} threads, {backend.isa}")
    for kind, sampling in KINDS.items():
        samplers = [Sampler(sampling, tokens[:1000]) for _ in range(ROWS)]
        seconds = []
        for _ in range(9):
            start = time.perf_counter()
            rows = [sampler.row() for sampler in samplers]
            chosen = backend.choose(rows)
            seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
        expected = [choose_row(*pair) for pair in zip(logits, rows, strict=True)]
        by_numpy = time.perf_counter() - start
        assert chosen == expected
        print(f"{kind:24} {1e3 * statistics.median(seconds):7.2f} ms, by numpy {1e3 * by_numpy:7.2f} ms")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "README.md")
