"""A system for tests: it counts, and decodes no sequence before all prompts are in. Imports what a bare Python has."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from honed.bench.contender import Contender
from honed.bench.peers.base import Announce, Footprint, PeerError, Step
from honed.bench.peers.own_tool import NoTool, OwnTool
from honed.bench.workload import Workload, workload_prompts

if TYPE_CHECKING:
    from honed.checkpoints.base import Checkpoint

interpreter: str | None = None
"""What its workers run in; a test sets it."""


class FakePeer:
    """dtype: what is special about it (see the code). It has two variants, of which "quick" has the shorter steps."""

    def __init__(self, name: str, dtype: str) -> None:
        self.name = name
        self._dtype = dtype

    def unavailable(self) -> str | None:
        return "not on this machine" if self._dtype == "absent" else None

    def contenders(
        self, model: str, checkpoint: Checkpoint, workload: Workload, announce: Announce
    ) -> Sequence[Contender]:
        if self._dtype == "uninstallable":
            raise PeerError("fake cannot be installed: ERROR: no such thing")
        announce("preparing fake")
        arguments = {"batches": self._dtype != "single", "fails": "it broke" if self._dtype == "failing" else ""}
        return [
            Contender(
                system=self.name,
                model=model,
                open_function="fake_peer:open_runner",
                arguments={**arguments, "step_s": step_s},
                prompts=workload_prompts(checkpoint.tokenizer().encode, workload),
                file_bytes=None,
                workload=workload,
                environment={"FAKE": "1"},
                interpreter=interpreter,
                variant=variant,
            )
            for variant, step_s in (("quick", 0.002), ("late", 0.02))
        ]

    def own_tool(self, contender: Contender, announce: Announce) -> OwnTool | NoTool:
        """ "toolless" has none; that of "handicapped" is four times as fast as its adapter; that of "broken" fails."""
        if self._dtype == "toolless":
            return NoTool("fake has no benchmark of its own")
        return OwnTool(
            name="fake-bench",
            function="fake_peer:measure_tool",
            arguments={
                "step_s": contender.arguments["step_s"] / (4 if self._dtype == "handicapped" else 1),
                "sequences": len(contender.prompts),
                "prompt_tokens": len(contender.prompts[0]),
                "steps": contender.timed_tokens,
                "fails": self._dtype == "broken",
            },
            interpreter=interpreter,
            environment={"FAKE": "1"},
        )


def measure_tool(arguments: Mapping[str, Any], spawned: float) -> dict[str, float]:
    """What the fake's own benchmark says: the same waiting, timed there."""
    if arguments["fails"]:
        raise PeerError("fake-bench: no such option")
    times = []
    for _ in range(arguments["steps"]):
        begin = time.monotonic()
        time.sleep(arguments["step_s"])
        times.append(time.monotonic() - begin)
    sequences = arguments["sequences"]
    return {
        "prefill_tok_s": sequences * arguments["prompt_tokens"] / times[0],
        "decode_tok_s": sequences * (len(times) - 1) / sum(times[1:]),
    }


def open_runner(arguments: Mapping[str, Any]) -> FakeRunner:
    return FakeRunner(arguments)


class FakeRunner:
    """arguments: step_s, the time of a step; batches, whether it can do several sequences; fails, a message or ""."""

    isa = None
    dtype = "fake"
    footprint = Footprint(1_000_000, 16, 2_000_000, 200_000, "other")

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._arguments = arguments
        if arguments["fails"]:
            raise PeerError(arguments["fails"])
        if "FAKE" not in os.environ:
            raise PeerError("the environment of the contender was not set")

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def generate(self, prompt: Sequence[int], new_tokens: int) -> Iterator[int]:
        return (token for step in self._steps([prompt], new_tokens) for _, token in step)

    def generate_batch(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Iterator[Step]:
        if not self._arguments["batches"]:
            raise PeerError("fake: decodes one sequence at a time")
        return self._steps(prompts, new_tokens)

    def _steps(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Iterator[Step]:
        for step in range(new_tokens):
            time.sleep(self._arguments["step_s"])
            yield [(index, step) for index in range(len(prompts))]
