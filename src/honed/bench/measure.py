"""One measurement, inside its own process: open a model, generate, read the clock and the memory counter.

Also imported by the measured process of another system: the standard library and nothing else.
"""

from __future__ import annotations

import dataclasses
import importlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from honed.bench.isolate import peak_memory_bytes
from honed.bench.peers.base import Footprint, Runner, Step
from honed.bench.workload import FIRST_PROMPT
from honed.errors import HonedError

WARM_UP_TOKENS = 8


@dataclass(frozen=True)
class Sample:
    """What one process measured, in seconds and bytes.

    prefill_s is from the call until every sequence has its first token (of one sequence it is the time to first token
    of the workload's prompt). decode_s is from there to the end of the step in which the first sequence has its last
    token, so all of them decode all the time; `decoded` tokens came meanwhile, of all sequences together.
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
    """The function that `isolate` calls. arguments: open_function, arguments, prompts, new_tokens."""
    module, _, name = str(arguments["open_function"]).partition(":")
    opener: Callable[[Mapping[str, Any]], Runner] = getattr(importlib.import_module(module), name)
    sample = measure(lambda: opener(arguments["arguments"]), arguments["prompts"], arguments["new_tokens"], spawned)
    return dataclasses.asdict(sample)


def measure(
    open_runner: Callable[[], Runner],
    prompts: Sequence[Sequence[int]],
    new_tokens: int,
    spawned: float,
    clock: Callable[[], float] = time.monotonic,
) -> Sample:
    """Measures in this order: load, first token of a short prompt, warm-up, the workload, memory.

    load_s is the opener's own time; start_to_first_token_s runs from `spawned`, so interpreter, imports, loading and
    tokenizing are all inside. The warm-up is the whole prompts and a few tokens.
    """
    before = clock()
    runner = open_runner()
    load_s = clock() - before
    for _ in runner.generate(runner.encode(FIRST_PROMPT), 1):
        pass
    start_to_first_token_s = clock() - spawned
    for _ in _steps(runner, prompts, min(WARM_UP_TOKENS, new_tokens)):
        pass

    begin = clock()
    times = [(clock(), step) for step in _steps(runner, prompts, new_tokens)]
    # Read before the runner is asked about itself, which may take memory.
    peak_rss_bytes = peak_memory_bytes()
    first, last, decoded = _decode_phase(times, len(prompts), new_tokens)
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


def _steps(runner: Runner, prompts: Sequence[Sequence[int]], new_tokens: int) -> Iterator[Step]:
    if len(prompts) > 1:
        return iter(runner.generate_batch(prompts, new_tokens))
    return ([(0, token)] for token in runner.generate(prompts[0], new_tokens))


def _decode_phase(times: Sequence[tuple[float, Step]], sequences: int, new_tokens: int) -> tuple[float, float, int]:
    """When it began and ended, and the tokens that came meanwhile. HonedError where tokens are missing."""
    counts = [0] * sequences
    begin: float | None = None
    end: float | None = None
    decoded = 0
    for moment, step in times:
        for sequence, _ in step:
            counts[sequence] += 1
        if begin is None:
            if min(counts) > 0:
                begin = moment
        elif end is None:
            decoded += len(step)
        if end is None and max(counts) >= new_tokens:
            end = moment
    if counts != [new_tokens] * sequences:
        wrong = next(count for count in counts if count != new_tokens)
        raise HonedError(f"{wrong} tokens came instead of {new_tokens}: the speed would be wrong")
    if begin is None or end is None or not decoded:
        raise HonedError(
            f"{sequences} sequences of {new_tokens} new tokens never decoded all together: ask for more new tokens"
        )
    return begin, end, decoded
