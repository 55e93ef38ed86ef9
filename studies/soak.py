"""Does a server hold out? 64 streams of mixed requests for ten minutes, 10 % broken off, 5 % not valid.

    python studies/soak.py MODEL [--seconds 600] [--streams 64] [--out soak.json]

Starts `honed serve MODEL` as a process of its own, watches its memory, descriptors and threads, and compares its counters
with what was asked and what came back. Prints PASSED, or what is wrong and exits with 1. The KV cache is small
on purpose, so that requests are put back and computed again. Linux.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

from honed.bench.load.connection import Address
from honed.bench.load.drive import model_of
from honed.bench.load.plan import LoadPlan
from honed.bench.load.soak import Sample, Soak, soak

MOST = 100_000
"""Requests of each kind: more than any machine answers meanwhile."""
CONTEXT, SEQUENCES = 1024, 12


def plans(streams: int, seconds: float) -> list[LoadPlan]:
    """Half of the streams have short chats, three eighths completions that begin alike, the rest long prompts."""
    long, shared = max(1, streams // 8), max(1, 3 * streams // 8)
    shares = {"cancel": 0.10, "invalid": 0.05, "seconds": seconds, "requests": MOST}
    return [
        LoadPlan(
            kind="chat", streams=max(1, streams - long - shared), prompt_tokens=24, new_tokens=24, seed=1, **shares
        ),
        LoadPlan(streams=shared, prompt_tokens=96, shared_tokens=64, new_tokens=32, temperature=0.8, seed=2, **shares),
        LoadPlan(streams=long, prompt_tokens=384, new_tokens=48, seed=3, **shares),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "honed.cli.main", "serve", arguments.model, "--port", "0"]
    command += ["--context", str(CONTEXT), "--sequences", str(SEQUENCES)]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        address = Address.of(_listening(server))
        found = asyncio.run(_soak(address, server.pid, arguments.streams, arguments.seconds))
    finally:
        server.send_signal(signal.SIGTERM)
        ended = server.wait(60)
    print(_told(found))
    faults = [*found.faults, *([f"the server ended with {ended}"] if ended else [])]
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(found.to_json() | {"faults": faults}, indent=1) + "\n")
    for fault in faults:
        print(f"FAILED: {fault}")
    if not faults:
        print("PASSED")
    return 1 if faults else 0


async def _soak(address: Address, pid: int, streams: int, seconds: float) -> Soak:
    # Names the model, and waits until it is loaded.
    model = await model_of(address, None)
    told = -30.0

    def tell(sample: Sample, requests: int) -> None:
        nonlocal told
        if sample.seconds - told >= 30:
            told = sample.seconds
            print(f"{sample.seconds:6.0f} s  {requests:6d} requests  {_held(sample)}", flush=True)

    return await soak(address, pid, plans(streams, seconds), model, tell=tell)


def _listening(server: subprocess.Popen[str]) -> str:
    """Its address. What it says goes on to standard error, then and later."""
    assert server.stderr is not None
    for line in server.stderr:
        sys.stderr.write(line)
        if found := re.search(r"listening on (http://\S+)", line):
            threading.Thread(target=lambda: sys.stderr.writelines(server.stderr or ()), daemon=True).start()
            return found[1]
    raise SystemExit("the server did not start")


def _held(sample: Sample) -> str:
    held = sample.held
    return f"{held.resident / 2**20:6.0f} MiB  {held.descriptors:4d} descriptors  {held.threads:3d} threads"


def _told(found: Soak) -> str:
    counters = found.counters
    return (
        f"{len(found.outcomes)} requests in {found.seconds:.0f} s: {found.count('whole')} finished, "
        f"{found.count('cancel')} broken off, {found.count('invalid')} refused as they should be\n"
        f"the server: {counters.accepted} accepted = {sum(counters.ended.values())} ended {counters.ended} "
        f"+ {counters.failed} failed\n"
        f"before: {_held(Sample(0, found.before))}\nafter:  {_held(Sample(0, found.after))}"
    )


if __name__ == "__main__":
    sys.exit(main())
