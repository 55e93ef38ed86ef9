"""A system for tests: it counts, and decodes no sequence before all prompts are in. Imports what a bare Python has."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from honed.bench.contender import Contender
from honed.bench.peers.base import Announce, Footprint, PeerError, Step
from honed.bench.workload import Workload, workload_prompts

if TYPE_CHECKING:
    from honed.checkpoints.base import Checkpoint

interpreter: str | None = None
"""What its workers run in; a test sets it."""


class FakePeer:
    """dtype: what is special about it. It has two variants, of which "quick" has the shorter steps."""

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
