"""Tokens a second through HTTP, against the engine alone, llama.cpp's server and OpenVINO's continuous batching.

    python studies/serving/throughput.py MODEL [--checkpoint SOURCE] [--rounds 3] [--streams 16] [--only NAMES]

All take turns, with the same prompts and lengths, two threads each. MODEL is what honed runs; SOURCE, by default the
same, is what llama.cpp (Q8_0, made by its own quantizer) and OpenVINO (int8, made by NNCF) get. The first use installs
and compiles them; --llama-server and --gguf name what is there already. The client runs on the same CPUs, and its CPU
time is printed apart.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from servers import Server, honed, llama_cpp

from honed.api.engine_runner import closed_load
from honed.backends.options import RunOptions
from honed.bench.isolate import call_isolated
from honed.bench.load.plan import LoadPlan, Prompts
from honed.bench.workload import Workload
from honed.checkpoints.open import open_checkpoint

NAMES = ("honed over HTTP", "the engine alone", "llama-server", "OpenVINO in process")
THREADS = 2
Run = Callable[[LoadPlan], tuple[float, str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--checkpoint")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--requests", type=int, default=48)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--serve", nargs=argparse.REMAINDER, default=[], help="last: further words of honed serve")
    parser.add_argument("--llama-server", type=Path)
    parser.add_argument("--gguf", type=Path)
    parser.add_argument("--only", nargs="*", choices=NAMES, default=NAMES)
    given = parser.parse_args()
    checkpoint = given.checkpoint or given.model
    rates: dict[str, list[float]] = {name: [] for name in given.only}
    with ExitStack() as stack:
        runs: dict[str, Run] = {}
        for name in given.only:
            match name:
                case "honed over HTTP":
                    words = ("--speculation", "off", *given.serve)
                    runs[name] = over_http(stack.enter_context(honed(given.model, *words)))
                case "the engine alone":
                    runs[name] = engine_alone(given.model, given.streams)
                case "llama-server":
                    program, file = llama_files(checkpoint, given)
                    room = 4 * given.tokens
                    runs[name] = over_http(
                        stack.enter_context(llama_cpp(program, file, slots=given.streams, positions=room))
                    )
                case _:
                    runs[name] = openvino(checkpoint, given.streams, given.tokens)
        for turn in range(given.rounds):
            plan = LoadPlan(
                requests=given.requests,
                streams=given.streams,
                prompt_tokens=given.tokens,
                new_tokens=given.tokens,
                seed=turn,
            )
            for name in sorted(runs, reverse=bool(turn % 2)):
                rate, told = runs[name](plan)
                rates[name].append(rate)
                say(f"round {turn}: {name}: {rate:.1f} tokens/s; {told}")
    first, *others = given.only
    for name in given.only:
        say(f"{name}: {statistics.median(rates[name]):.1f} tokens/s")
    for name in others:
        ratios = [ours / theirs for ours, theirs in zip(rates[first], rates[name], strict=True)]
        say(f"{first} / {name}: {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


def over_http(server: Server) -> Run:
    """By the load generator of `honed bench --server`."""

    def run(plan: LoadPlan) -> tuple[float, str]:
        before = server.cpu_seconds()
        found = server.load(plan)
        used = server.cpu_seconds() - before
        return found.tokens_per_second, (
            f"the server took {used:.2f} CPU s of {found.seconds:.2f}, the client {found.client_share:.3f} CPUs"
        )

    return run


def engine_alone(model: str, streams: int) -> Run:
    """In a process of its own, as `LanguageModel` has it."""
    context = 1024
    options = RunOptions(threads=THREADS, context=context, sequences=streams)
    return isolated(
        f"{closed_load.__module__}:{closed_load.__name__}",
        {"model": model, "options": options.to_json(), "streams": streams},
    )


def openvino(checkpoint: str, streams: int, tokens: int) -> Run:
    """In float32, which its plugin chooses where bfloat16 is not faster; `honed bench` measures both."""
    from honed.bench.peers.openvino import OpenvinoPeer

    workload = Workload(prompt_tokens=2 * tokens, new_tokens=tokens, threads=THREADS, batch=streams)
    contenders = OpenvinoPeer("openvino-int8", "int8").contenders(
        checkpoint, open_checkpoint(checkpoint), workload, say
    )
    best = [
        isolated("honed.bench.peers.openvino:closed_load", found.arguments, interpreter=found.interpreter)
        for found in contenders
    ]

    def run(plan: LoadPlan) -> tuple[float, str]:
        return max(each(plan) for each in best)

    return run


def isolated(function: str, arguments: dict[str, Any], *, interpreter: str | None = None) -> Run:
    """A function that runs a load in a process of its own, once for nothing and once for the figure."""

    def run(plan: LoadPlan) -> tuple[float, str]:
        prompts = Prompts(plan)
        texts = [prompts.text(number) for number in range(plan.requests)]
        job = {**arguments, "prompts": texts, "new_tokens": plan.new_tokens}
        found = call_isolated(function, job, interpreter=interpreter)
        return found["tokens"] / found["seconds"], f"{found['cpu_seconds']:.2f} CPU s of {found['seconds']:.2f}"

    return run


def llama_files(checkpoint: str, given: argparse.Namespace) -> tuple[Path, Path]:
    """The program and its file, made where they are not given."""
    from honed.bench.peers.gguf_model import quantized_file
    from honed.bench.peers.llama_cpp_package import VERSION, environment
    from honed.bench.peers.llama_cpp_server import server_program

    program = given.llama_server or server_program(say)
    file = given.gguf or quantized_file(
        open_checkpoint(checkpoint),
        "q8_0",
        python=str(environment().python(say)),
        version=VERSION,
        threads=THREADS,
        announce=say,
    )
    return program, file


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
