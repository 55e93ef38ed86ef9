"""What prompts of 2,000 tokens that arrive do to streams that run, and what the streams do to them.

    python studies/serving/arriving_prompts.py MODEL [--streams 4] [--prompts 4] [--step-time 0.05]

The inter-token p99 of the streams while prompts arrive, against their median without arrivals; and the time to first
token of a prompt beside the streams, against that of the engine alone at the same load, where nothing is in between:
the same engine, whose steps are not paced.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from itertools import pairwise

from servers import honed, stream

from honed.bench.load.plan import LoadPlan, Prompts
from honed.bench.load.report import Percentiles

PROMPT = 2000
REST = 2.0
"""Seconds between two arrivals, and before the first one."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--step-time", nargs="*", default=["0.05", "0"])
    given = parser.parse_args()
    for step_time in given.step_time:
        with honed(given.model, "--step-time", step_time, "--speculation", "off") as server:
            alone = [asyncio.run(first_token(server.url, 100 + number)) for number in range(given.prompts)]
            quiet, busy, first = asyncio.run(beside(server.url, given.streams, given.prompts))
        gaps, late = Percentiles.of(quiet), Percentiles.of(busy)
        assert gaps is not None
        assert late is not None
        told = statistics.median(first)
        sys.stdout.write(
            f"step time {step_time}: inter-token {1000 * gaps.p50:.1f} ms without arrivals, p99 {1000 * gaps.p99:.1f}; "
            f"while prompts arrive p50 {1000 * late.p50:.1f}, p99 {1000 * late.p99:.1f} ms: {late.p99 / gaps.p50:.2f} "
            f"times\n  first token of a prompt {1000 * told:.0f} ms beside {given.streams} streams, "
            f"{1000 * statistics.median(alone):.0f} ms alone: {told / statistics.median(alone):.2f} times\n"
        )
        sys.stdout.flush()


async def beside(url: str, streams: int, prompts: int) -> tuple[list[float], list[float], list[float]]:
    """Times between pieces of the streams before any prompt came and while one was computed, and the prompts' times to
    first token."""
    kept: list[list[float]] = [[] for _ in range(streams)]
    running = [
        asyncio.ensure_future(stream(url, "/v1/completions", body(500 + number, 60, 1500), times))
        for number, times in enumerate(kept)
    ]
    await asyncio.sleep(2 * REST)
    spans: list[tuple[float, float]] = []
    first = []
    for number in range(prompts):
        begun = time.perf_counter()
        first.append(await first_token(url, number))
        spans.append((begun, begun + first[-1]))
        await asyncio.sleep(REST)
    for task in running:
        task.cancel()
    for each in await asyncio.gather(*running, return_exceptions=True):
        assert not isinstance(each, Exception), each
    quiet: list[float] = []
    busy: list[float] = []
    for times in kept:
        for before, after in pairwise(times):
            if any(begun < after and before < ended for begun, ended in spans):
                busy.append(after - before)
            elif after < spans[0][0]:
                quiet.append(after - before)
    return quiet, busy, first


async def first_token(url: str, number: int) -> float:
    """Seconds until the first token of a prompt of 2,000 that nobody asked before."""
    times, sent, _ = await stream(url, "/v1/completions", body(number, PROMPT, 1))
    return times[0] - sent


def body(number: int, prompt: int, new: int) -> dict[str, object]:
    prompts = Prompts(LoadPlan(requests=1000, prompt_tokens=prompt, new_tokens=new))
    prompts.calibrate(477, 1000)
    return {
        "model": "model",
        "prompt": prompts.text(number),
        "max_tokens": new,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
    }


if __name__ == "__main__":
    main()
