"""What of a step of the engine is not the backend's: the time of scheduling, marshalling, proposing and reporting.

    python studies/step_overhead.py MODEL [--sequences 64] [--steps 200] [--temperature 0.8] [--speculation off]

Sequences decode together, each from a prompt of its own; the backend's two calls are timed apart from the rest.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence

from honed.api.load import load_language_model
from honed.backends.base import Batch, Choice, ChoosingBackend, PlainBatch, RowChoice
from honed.backends.options import RunOptions
from honed.runtime.engine import Engine
from honed.runtime.request import Request, Sampling

WORDS = ["river", "engine", "garden", "letter", "winter", "market", "doctor", "island", "window", "planet"]


class TimedBackend:
    """A backend that says how long it was at work since it was asked last."""

    def __init__(self, backend: ChoosingBackend) -> None:
        self._backend = backend
        self.seconds = 0.0

    def __getattr__(self, name: str) -> object:
        return getattr(self._backend, name)

    def compute(self, batch: Batch | PlainBatch) -> None:
        started = time.perf_counter()
        self._backend.compute(batch)
        self.seconds += time.perf_counter() - started

    def choose(self, rows: Sequence[RowChoice]) -> list[Choice]:
        started = time.perf_counter()
        choices = self._backend.choose(rows)
        self.seconds += time.perf_counter() - started
        return choices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--sequences", type=int, default=64)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--speculation", default="prompt-lookup")
    arguments = parser.parse_args()
    model = load_language_model(arguments.model, RunOptions())
    backend = TimedBackend(model.backend)  # type: ignore[arg-type]
    engine = Engine(backend, speculation=arguments.speculation)  # type: ignore[arg-type]
    for number in range(arguments.sequences):
        word, other = WORDS[number % 10], WORDS[number // 10]
        prompt = tuple(model.tokenizer.encode(f"Story {number} of the {word} and the {other}. Once upon a time"))
        sampling = Sampling(temperature=arguments.temperature, seed=number)
        engine.add(Request(prompt, 10 * arguments.steps, sampling))
    while any(sequence.to_compute > 1 for sequence in engine._scheduler.sequences):
        engine.step()
    whole, rest, tokens = [], [], 0
    for _ in range(arguments.steps):
        backend.seconds = 0.0
        started = time.perf_counter()
        tokens += len(engine.step())
        whole.append(time.perf_counter() - started)
        rest.append(whole[-1] - backend.seconds)
    step, python = statistics.median(whole), statistics.median(rest)
    sys.stdout.write(
        f"{arguments.sequences} sequences, median of {arguments.steps} steps: {1e3 * step:.2f} ms, of which "
        f"{1e6 * python:.0f} us ({100 * python / step:.1f} %) are not the backend's; {tokens / sum(whole):.0f} "
        "tokens/s\n"
    )


if __name__ == "__main__":
    main()
