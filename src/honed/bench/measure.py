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
    of the workload's prompt). decode_s is from there until the last sequence has its last token; those that are ahead
    go on meanwhile, so all of them decode all the time. `decoded` tokens came in it, of all sequences together.
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
    decode_position: float
    """Keys that an average step of decode_s reads of one sequence, the one of its own token included."""
    positions: int
    """Keys and values in the end, of all sequences together."""

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
    decode = _decode_phase(times, len(prompts), new_tokens)
    prompt_tokens = sum(len(prompt) for prompt in prompts)
    return Sample(
        load_s=load_s,
        start_to_first_token_s=start_to_first_token_s,
        prefill_s=decode.begin - begin,
        decode_s=decode.end - decode.begin,
        decoded=decode.end_count - decode.begin_count,
        peak_rss_bytes=peak_rss_bytes,
        isa=runner.isa,
        dtype=runner.dtype,
        footprint=runner.footprint,
        # The first step reads the prompt and the tokens at the beginning, the last one all but the token that it gives.
        decode_position=(prompt_tokens + (decode.begin_count + decode.end_count - len(prompts)) / 2) / len(prompts),
        positions=prompt_tokens + decode.end_count,
    )


def _steps(runner: Runner, prompts: Sequence[Sequence[int]], new_tokens: int) -> Iterator[Step]:
    if len(prompts) > 1:
        return iter(runner.generate_batch(prompts, new_tokens))
    return ([(0, token)] for token in runner.generate(prompts[0], new_tokens))


@dataclass(frozen=True)
class _Phase:
    """Moments, and the tokens that all sequences together had at each of them."""

    begin: float
    end: float
    begin_count: int
    end_count: int


def _decode_phase(times: Sequence[tuple[float, Step]], sequences: int, new_tokens: int) -> _Phase:
    """From the step in which the last sequence has its first token to the one in which the last has `new_tokens`.

    HonedError where tokens are missing, or where a sequence did not decode all the time.
    """
    counts = [0] * sequences
    begin: tuple[float, list[int]] | None = None
    for moment, step in times:
        for sequence, _ in step:
            counts[sequence] += 1
        if begin is None:
            if min(counts) > 0:
                begin = moment, list(counts)
        elif min(counts) >= new_tokens:
            break
    if begin is None or min(counts) < new_tokens:
        raise HonedError(f"{min(counts)} tokens came instead of {new_tokens}: the speed would be wrong")
    since, first = begin
    came = [count - before for count, before in zip(counts, first, strict=True)]
    if min(came) < new_tokens - 1:
        raise HonedError(
            f"{sequences} sequences did not decode {new_tokens} tokens all together: {min(came)} came of one of them "
            f"while the last one had its {new_tokens - 1} after the first"
        )
    return _Phase(since, moment, sum(first), sum(counts))
