"""One measurement of an encoder, inside its own process: open it, encode the batch over and over, read the clock.

Also imported by the measured process of another system: the standard library and nothing else.
"""

from __future__ import annotations

import dataclasses
import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from honed.bench.encoders.contender import EncodeRunner, Vectors
from honed.bench.isolate import peak_memory_bytes

LEAST_PASSES = 3
WARM_UP = 2


@dataclass(frozen=True)
class EncodeSample:
    """What one process measured. pass_s: seconds of each pass over the batch. vectors: of the batch."""

    load_s: float
    start_to_first_s: float
    pass_s: tuple[float, ...]
    peak_rss_bytes: int
    isa: str | None
    dtype: str
    vectors: Vectors

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> EncodeSample:
        return cls(**{**value, "pass_s": tuple(value["pass_s"])})


def measure_in_worker(arguments: Mapping[str, Any], spawned: float) -> dict[str, Any]:
    """The function that `isolate` calls. arguments: open_function, arguments, texts, seconds."""
    module, _, name = str(arguments["open_function"]).partition(":")
    opener: Callable[[Mapping[str, Any]], EncodeRunner] = getattr(importlib.import_module(module), name)
    return dataclasses.asdict(
        measure(lambda: opener(arguments["arguments"]), arguments["texts"], arguments["seconds"], spawned)
    )


def measure(
    open_runner: Callable[[], EncodeRunner],
    texts: Sequence[Sequence[int]],
    seconds: float,
    spawned: float,
    clock: Callable[[], float] = time.monotonic,
) -> EncodeSample:
    """Measures in this order: load, the first text, a warm-up, passes for `seconds` and three at least, memory.

    start_to_first_s runs from `spawned`, so interpreter, imports and loading are all inside.
    """
    before = clock()
    runner = open_runner()
    load_s = clock() - before
    runner.encode(texts[:1])
    start_to_first_s = clock() - spawned
    for _ in range(WARM_UP):
        runner.encode(texts)
    passes: list[float] = []
    vectors: Any = None
    while sum(passes) < seconds or len(passes) < LEAST_PASSES:
        begin = clock()
        vectors = runner.encode(texts)
        passes.append(clock() - begin)
    return EncodeSample(
        load_s=load_s,
        start_to_first_s=start_to_first_s,
        pass_s=tuple(passes),
        peak_rss_bytes=peak_memory_bytes(),
        isa=runner.isa,
        dtype=runner.dtype,
        vectors=runner.numbers(vectors),
    )
