from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from honed.bench.encoders.contender import EncodeRunner, Vectors
from honed.bench.encoders.measure import EncodeSample, measure


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Runner:
    """Takes a second a text."""

    isa = "none"
    dtype = "float32"

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.asked: list[int] = []

    def encode(self, texts: Sequence[Sequence[int]]) -> Any:
        self.asked.append(len(texts))
        self.clock.now += len(texts)
        return [[float(len(text))] for text in texts]

    def numbers(self, vectors: Any) -> Vectors:
        found: Vectors = vectors
        return found


def test_what_is_timed() -> None:
    clock = Clock()
    runner = Runner(clock)

    def opener() -> EncodeRunner:
        clock.now += 5
        return runner

    sample = measure(opener, [[1, 2], [3]], seconds=7, spawned=90.0, clock=clock)
    assert (sample.load_s, sample.start_to_first_s) == (5, 16)
    assert list(sample.pass_s) == [2, 2, 2, 2]
    assert runner.asked == [1, 2, 2, *[2] * 4]
    assert [list(vector) for vector in sample.vectors] == [[2.0], [1.0]]
    assert EncodeSample.from_json({**vars(sample), "pass_s": list(sample.pass_s)}) == sample


def test_three_passes_at_least() -> None:
    clock = Clock()
    assert len(measure(lambda: Runner(clock), [[1]], seconds=0.1, spawned=0.0, clock=clock).pass_s) == 3
