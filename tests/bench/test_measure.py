"""The arithmetic of a measurement, on a runner whose every call moves a clock by a known time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from honed.bench.measure import WARM_UP_TOKENS, Sample, measure
from honed.bench.peers.base import Footprint, Step
from honed.errors import HonedError

FOOTPRINT = Footprint(1000, 10, 2000, 200, "int8")
LOAD, PREFILL_PER_TOKEN, DECODE = 0.5, 0.125, 0.25


class ClockedRunner:
    """Prompts are computed one after another, and those that are done decode meanwhile, as in honed's engine. context:
    tokens after which a sequence ends whatever the others do."""

    isa = "portable"
    dtype = "int8"
    footprint = FOOTPRINT

    def __init__(self, short_by: int = 0, context: int = 1000) -> None:
        self.now = 100.0
        self.context = context
        self.short_by = short_by
        self.calls: list[tuple[int, int]] = []

    def open(self) -> ClockedRunner:
        self.now += LOAD
        return self

    def encode(self, text: str) -> list[int]:
        return [1, 2]

    def generate(self, prompt: Sequence[int], new_tokens: int) -> Iterator[int]:
        self.calls.append((len(prompt), new_tokens))
        self.now += PREFILL_PER_TOKEN * len(prompt)
        for i in range(new_tokens - self.short_by):
            self.now += DECODE if i else 0
            yield 7

    def generate_batch(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Iterator[Step]:
        self.calls.append((sum(len(prompt) for prompt in prompts), new_tokens))
        counts = [0] * len(prompts)
        for prompt in range(len(prompts)):
            self.now += PREFILL_PER_TOKEN * len(prompts[prompt])
            ready = [i for i in range(prompt + 1) if counts[i] < self.context]
            for i in ready:
                counts[i] += 1
            yield [(i, 7) for i in ready]
        while min(counts) < new_tokens - self.short_by:
            self.now += DECODE
            ready = [i for i in range(len(prompts)) if counts[i] < self.context]
            for i in ready:
                counts[i] += 1
            yield [(i, 7) for i in ready]


def test_each_time_is_what_its_name_says() -> None:
    runner = ClockedRunner()
    sample = measure(runner.open, [[1] * 16], 9, spawned=98.0, clock=lambda: runner.now)
    assert sample.load_s == LOAD
    assert sample.start_to_first_token_s == 2.0 + LOAD + 2 * PREFILL_PER_TOKEN
    assert sample.prefill_s == 16 * PREFILL_PER_TOKEN
    assert sample.decoded == 8
    assert sample.decode_s == 8 * DECODE
    assert sample.decode_position == (17 + 24) / 2
    assert sample.positions == 16 + 9
    assert runner.calls == [(2, 1), (16, WARM_UP_TOKENS), (16, 9)]
    assert sample.peak_rss_bytes > 1 << 20


def test_batch_counts_only_what_all_sequences_decode_together() -> None:
    """Three sequences. The first has three tokens when the last has one, and all have eight more when that has nine."""
    runner = ClockedRunner()
    sample = measure(runner.open, [[1] * 16, [2] * 16, [3] * 16], 9, spawned=98.0, clock=lambda: runner.now)
    assert sample.prefill_s == 3 * 16 * PREFILL_PER_TOKEN
    assert sample.decode_s == 8 * DECODE
    assert sample.decoded == 8 * 3
    # The last one reads 17 to 24 keys, the one before it one more each time, the first one two.
    assert sample.decode_position == (17 + 24) / 2 + 1
    assert sample.positions == 3 * 16 + 9 + 10 + 11
    assert runner.calls == [(2, 1), (48, WARM_UP_TOKENS), (48, 9)]


def test_new_tokens_may_be_fewer_than_the_first_is_ahead() -> None:
    runner = ClockedRunner()
    sample = measure(runner.open, [[1 + i] for i in range(9)], 2, spawned=0.0, clock=lambda: runner.now)
    assert (sample.decoded, sample.decode_s) == (9, DECODE)


class RoundsRunner(ClockedRunner):
    """Every token is a step of its own, all sequences in turn."""

    def generate_batch(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Iterator[Step]:
        for _ in range(new_tokens):
            self.now += DECODE
            yield from ([(i, 7)] for i in range(len(prompts)))


def test_tokens_that_come_one_by_one_count_alike() -> None:
    runner = RoundsRunner()
    sample = measure(runner.open, [[1], [2], [3]], 9, spawned=0.0, clock=lambda: runner.now)
    assert (sample.decoded, sample.decode_s) == (3 * 8, 8 * DECODE)


def test_sequence_that_ends_before_the_others_is_an_error() -> None:
    runner = ClockedRunner(context=10)
    with pytest.raises(HonedError, match="3 sequences did not decode 9 tokens all together: 7 came of one of them"):
        measure(runner.open, [[1], [2], [3]], 9, spawned=0.0, clock=lambda: runner.now)


def test_early_end_is_an_error_and_not_a_speed() -> None:
    runner = ClockedRunner(short_by=3)
    with pytest.raises(HonedError, match="6 tokens came instead of 9"):
        measure(runner.open, [[1, 2]], 9, spawned=0.0, clock=lambda: runner.now)


def test_early_end_of_a_batch_is_an_error() -> None:
    runner = ClockedRunner(short_by=3)
    with pytest.raises(HonedError, match="6 tokens came instead of 9"):
        measure(runner.open, [[1], [2]], 9, spawned=0.0, clock=lambda: runner.now)


def test_sample_comes_back_from_json() -> None:
    import dataclasses
    import json

    sample = Sample(1.0, 2.0, 3.0, 4.0, 5, 6, None, "bfloat16", FOOTPRINT, 7.5, 8)
    assert Sample.from_json(json.loads(json.dumps(dataclasses.asdict(sample)))) == sample
