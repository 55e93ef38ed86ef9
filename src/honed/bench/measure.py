"""One measurement, inside its own process: open a model, generate, read the clock and the memory counter."""

from __future__ import annotations

import dataclasses
import importlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from honed.bench.isolate import peak_memory_bytes
from honed.bench.peers.base import Footprint, Runner
from honed.bench.workload import FIRST_PROMPT
from honed.errors import HonedError

WARM_UP_TOKENS = 8


@dataclass(frozen=True)
class Sample:
    """What one process measured, in seconds and bytes.

    prefill_s is from the call to the first token (so it is also the time to first token of the workload's prompt),
    decode_s from the first token to the last: `decoded` tokens.
    """

    load_s: float
    start_to_first_token_s: float
    prefill_s: float
    decode_s: float
    decoded: int
    peak_rss_bytes: int
    isa: str | None
    dtype: str
    footprint: Footprint

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Sample:
        return cls(**{**value, "footprint": Footprint(**value["footprint"])})


def measure_in_worker(arguments: Mapping[str, Any], spawned: float) -> dict[str, Any]:
    """The function that `isolate` calls. arguments: open_function, arguments, prompt, new_tokens."""
    module, _, name = str(arguments["open_function"]).partition(":")
    opener: Callable[[Mapping[str, Any]], Runner] = getattr(importlib.import_module(module), name)
    sample = measure(lambda: opener(arguments["arguments"]), arguments["prompt"], arguments["new_tokens"], spawned)
    return dataclasses.asdict(sample)


def measure(
    open_runner: Callable[[], Runner],
    prompt: list[int],
    new_tokens: int,
    spawned: float,
    clock: Callable[[], float] = time.monotonic,
) -> Sample:
    """Measures in this order: load, first token of a short prompt, warm-up, the workload, memory.

    load_s is the opener's own time; start_to_first_token_s runs from `spawned`, so interpreter, imports, loading and
    tokenizing are all inside. The warm-up is the whole prompt and a few tokens.
    """
    before = clock()
    runner = open_runner()
    load_s = clock() - before
    _take(runner, runner.encode(FIRST_PROMPT), 1)
    start_to_first_token_s = clock() - spawned
    _take(runner, prompt, min(WARM_UP_TOKENS, new_tokens))

    begin = clock()
    tokens = runner.generate(prompt, new_tokens)
    next(tokens)
    first = clock()
    decoded = sum(1 for _ in tokens)
    last = clock()
    if decoded != new_tokens - 1:
        raise HonedError(f"{decoded + 1} tokens came instead of {new_tokens}: the speed would be wrong")
    # Read before the runner is asked about itself, which may take memory.
    peak_rss_bytes = peak_memory_bytes()
    return Sample(
        load_s=load_s,
        start_to_first_token_s=start_to_first_token_s,
        prefill_s=first - begin,
        decode_s=last - first,
        decoded=decoded,
        peak_rss_bytes=peak_rss_bytes,
        isa=runner.isa,
        dtype=runner.dtype,
        footprint=runner.footprint,
    )


def _take(runner: Runner, prompt: list[int], count: int) -> None:
    for _ in runner.generate(prompt, count):
        pass
