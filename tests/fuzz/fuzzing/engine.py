"""Runs inputs through a target in a process of its own, judges what comes of them, and keeps what is found.

An input whose answer was not seen before joins those that are mutated: messages, with their numbers and quotations left
out, say how far a reader came, which is what tools with instrumented code learn from counters.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fuzzing.target import Limits, Target

FUZZ = Path(__file__).resolve().parents[1]
CORPUS = FUZZ / "corpus"
FOUND = FUZZ / "found"
_WORKER = Path(__file__).with_name("worker.py")
_START_SECONDS = 120.0
_POOL = 400


@dataclass(frozen=True)
class Answer:
    """outcome: accepted, refused, or fault. seconds of CPU, bytes of memory at the peak."""

    outcome: str
    message: str
    seconds: float = 0.0
    bytes: int = 0

    @property
    def shape(self) -> str:
        """The message without what differs from input to input."""
        return self.outcome + re.sub(r"/\S*|'.{,40}?'|\".{,40}?\"|[0-9]+", "", self.message)[:160]


class Reader:
    """The process of one target; started at the first input, and again after an input that ended it."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{target.name}-"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def answer(self, data: bytes) -> Answer:
        """What the target says of an input. What ends the process, or keeps it, is a fault."""
        process = self._process or self._start()
        assert process.stdin is not None
        try:
            process.stdin.write(struct.pack("<I", len(data)) + data)
            process.stdin.flush()
        except BrokenPipeError:
            return self._died(process)
        line = self._line(process, self._target.limits.wall_seconds)
        if line is None:
            self._end()
            return Answer("fault", f"no answer within {self._target.limits.wall_seconds:g} s")
        if not line:
            return self._died(process)
        return _judged(json.loads(line), self._target.limits)

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "TMPDIR": str(self._folder),
            "XDG_CACHE_HOME": str(self._folder / "cache"),
            "HF_HUB_OFFLINE": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        with (self._folder / "errors").open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, str(_WORKER), self._target.name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                start_new_session=True,
            )
        return self._process

    def _line(self, process: subprocess.Popen[bytes], seconds: float) -> bytes | None:
        """An answer; empty where the process ended, None where the time did."""
        assert process.stdout is not None
        first = not hasattr(process, "answered")
        ready, _, _ = select.select([process.stdout], [], [], _START_SECONDS if first else seconds)
        process.answered = True  # type: ignore[attr-defined]
        return process.stdout.readline() if ready else None

    def _died(self, process: subprocess.Popen[bytes]) -> Answer:
        status = process.wait()
        name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        errors = (self._folder / "errors").read_text(errors="replace")[-600:]
        self._end()
        reason = " (far over its limit of CPU)" if name == "SIGPROF" else ""
        return Answer("fault", f"the process ended with {name}{reason}: {errors}")

    def _end(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        with self._process:
            pass
        self._process = None


def _judged(answer: dict[str, Any], limits: Limits) -> Answer:
    outcome, message = answer["outcome"], answer["message"]
    seconds, taken = answer["seconds"], answer["bytes"]
    if outcome == "fault":
        return Answer(outcome, f"{message} [{answer['where']}]", seconds, taken)
    accepted = outcome == "accepted"
    most_seconds = limits.accepted_seconds if accepted else limits.refused_seconds
    most_bytes = limits.accepted_bytes if accepted else limits.refused_bytes
    if seconds > most_seconds:
        return Answer(
            "fault", f"{outcome} after {seconds:.2f} s of CPU, over {most_seconds:g}: {message}", seconds, taken
        )
    if taken > most_bytes:
        return Answer("fault", f"{outcome} with {taken >> 20} MiB, over {most_bytes >> 20}: {message}", seconds, taken)
    return Answer(outcome, message, seconds, taken)


@dataclass(frozen=True)
class Fault:
    answer: Answer
    data: bytes
    kept: Path

    def __str__(self) -> str:
        target = self.kept.parent.name
        return (
            f"{self.answer.message}\n  the input is {self.kept}\n"
            f"  once it is mended, keep it: mv {self.kept} {CORPUS / target}/ (and say in its name what it was)"
        )


@dataclass
class Report:
    inputs: int
    accepted: int
    shapes: int
    faults: list[Fault]


def check_known(target: Target, reader: Reader) -> list[Fault]:
    """Every seed, which must be accepted, and every file of the corpus, which must be no fault."""
    faults = []
    for seed in target.seeds():
        answer = reader.answer(seed)
        if answer.outcome != "accepted":
            faults.append(_keep(target, seed, Answer("fault", f"a seed is not accepted: {answer.message}")))
    for path in sorted((CORPUS / target.name).glob("*")):
        data = path.read_bytes()
        answer = reader.answer(data)
        if answer.outcome == "fault":
            faults.append(Fault(answer, data, path))
    return faults


def search(
    target: Target, reader: Reader, seed: int, *, inputs: int | None = None, seconds: float | None = None
) -> Report:
    """Mutated inputs, the same for the same seed, until so many were tried or so many seconds of wall time went by.

    A fault is kept once for each shape of its message.
    """
    chance = random.Random(f"{target.name}:{seed}")
    seeds = list(target.seeds())
    pool = [*seeds, *(path.read_bytes() for path in sorted((CORPUS / target.name).glob("*")))]
    shapes: set[str] = set()
    report = Report(0, 0, 0, [])
    started = time.monotonic()
    while inputs is None or report.inputs < inputs:
        if seconds is not None and time.monotonic() - started > seconds:
            break
        data = target.mutate(chance.choice(seeds if chance.random() < 0.6 else pool), chance, pool)
        answer = reader.answer(data)
        report.inputs += 1
        report.accepted += answer.outcome == "accepted"
        if answer.shape in shapes:
            continue
        shapes.add(answer.shape)
        if answer.outcome == "fault":
            report.faults.append(_keep(target, data, answer))
        elif len(pool) < _POOL and len(data) < 1 << 16:
            pool.append(data)
    report.shapes = len(shapes)
    return report


def _keep(target: Target, data: bytes, answer: Answer) -> Fault:
    folder = FOUND / target.name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / hashlib.sha256(data).hexdigest()[:12]
    path.write_bytes(data)
    return Fault(answer, data, path)
