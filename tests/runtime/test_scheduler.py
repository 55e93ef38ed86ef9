"""Who gets what in a step. Everything at once, in any order, is in `test_scheduler_states.py`; the scheduler at work is
tested through the engine."""

from __future__ import annotations

import pytest

from hash_backend import VOCABULARY, ChoosingHashBackend, HashBackend
from honed.backends.base import PAGE_TOKENS, PageGroup
from honed.backends.native import NativeBackend
from honed.backends.native_config import NativeConfig
from honed.errors import QueueFullError
from honed.runtime.batch import Chunk
from honed.runtime.engine import Engine
from honed.runtime.events import Generated
from honed.runtime.request import GREEDY, Request
from honed.runtime.sampling import Sampler
from honed.runtime.scheduler import Scheduler, head_start
from honed.runtime.sequence import Sequence
from tiny_models import golden


@pytest.mark.parametrize(
    ("sequences", "prompt_tokens", "step_tokens"),
    [
        (1, 7, 4),
        (2, 1, 64),
        (5, 3, 64),
        (5, 3, 5),
        (4, 64, 64),
        (3, 65, 64),
        (8, 50, 16),
        (8, 9, 8),
        (16, 60, 16),
        (64, 1, 64),
    ],
)
def test_head_start_is_what_the_engine_gives(sequences: int, prompt_tokens: int, step_tokens: int) -> None:
    engine = Engine(ChoosingHashBackend(context=1024, pages=32 * sequences, step_tokens=step_tokens))
    for index in range(sequences):
        engine.add(Request(((index + 1) % VOCABULARY,) * prompt_tokens, 1000, GREEDY))
    counts = [0] * sequences
    while not min(counts):
        for event in engine.step():
            if isinstance(event, Generated):
                counts[event.request_id] += 1
    assert counts[-1] == 1
    assert counts[0] == max(counts) == 1 + head_start(sequences, prompt_tokens, step_tokens)


def test_head_start_of_long_prompts() -> None:
    """Sixteen of 1,920 tokens: some sixty steps of 512, of which the first four compute the first prompt."""
    assert 56 <= head_start(16, 1920, 512) <= 60


@pytest.mark.parametrize("window", [1, 31, 32, 33, 40, 64, 100])
def test_pages_behind_a_window_are_given_back(window: int) -> None:
    """Three requests that hold 42 pages together when they end run at once on 24, and generate what each does alone."""
    requests = [Request(tuple(range(first, first + 40)), 400, GREEDY) for first in (1, 3, 5)]
    alone = [Engine(HashBackend(window=window)).generate([request])[0] for request in requests]
    engine = Engine(HashBackend(pages=24, window=window), speculation="off")
    for request in requests:
        engine.add(request)
    found: list[list[int]] = [[], [], []]
    most = 0
    while not engine.idle:
        events = [event for event in engine.step() if isinstance(event, Generated)]
        engine.check_integrity()
        for event in events:
            found[event.request_id].append(event.token)
        # None is preempted: all three go on in every step until they end, which they do together.
        assert len({len(tokens) for tokens in found}) <= 2
        most = max(most, 24 - engine.free_pages)
    assert [tuple(tokens) for tokens in found] == [output.tokens for output in alone]
    assert most <= 3 * (-(-(window + 31) // 32) + 2)
    assert engine.free_pages == 24


def test_a_real_model_with_a_window_generates_the_same_on_few_pages() -> None:
    """Mistral with a window of 7: 120 tokens of each of three sequences on pages for two of them."""
    prompts = [tuple(range(first, first + 20)) for first in (3, 30, 60)]
    requests = [Request(prompt, 100, GREEDY) for prompt in prompts]
    checkpoint = golden("mistral").checkpoint
    roomy, narrow = (
        NativeBackend.load(checkpoint, NativeConfig(threads=1, kv_tokens=tokens)) for tokens in (2048, 256)
    )
    assert [group.window for group in roomy.page_groups] == [7]
    alone = [Engine(roomy).generate([request])[0].tokens for request in requests]
    engine = Engine(narrow)
    assert [output.tokens for output in engine.generate(requests)] == alone
    engine.check_integrity()


class Driver:
    """A scheduler, and a model that always says 0."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.now = 0.0
        self.rows = 0
        self._count = 0

    def add(self, prompt: int | tuple[int, ...], max_tokens: int = 100, **fields: object) -> Sequence:
        """A request; of a number, so many tokens that no other prompt begins with."""
        self._count += 1
        tokens = (self._count + 1000,) * prompt if isinstance(prompt, int) else prompt
        request = Request(tokens, max_tokens, **fields)  # type: ignore[arg-type]
        sequence = Sequence(self._count, request, max_tokens, Sampler(GREEDY, ()), list(tokens))
        self.scheduler.add(sequence, self.now)
        return sequence

    def step(self) -> list[Chunk]:
        """One step, with all proposals accepted."""
        chunks = self.scheduler.schedule(self.now)
        self.scheduler.check_integrity()
        for chunk in chunks:
            self.rows += chunk.count + len(chunk.proposed)
            chunk.advance(len(chunk.proposed))
            if chunk.completes:
                chunk.sequence.tokens += [*chunk.proposed, 0]
                if chunk.sequence.generated >= chunk.sequence.limit:
                    self.scheduler.remove(chunk.sequence)
        return chunks

    def finish(self) -> None:
        while self.step():
            pass
        assert not self.scheduler.sequences


def counts(chunks: list[Chunk]) -> dict[int, int]:
    return {chunk.sequence.id: chunk.count for chunk in chunks}


PROMPT = tuple(range(100))


def test_a_burst_of_one_prompt_computes_it_once() -> None:
    driver = Driver(Scheduler([PageGroup(200)], 16, 64))
    burst = [driver.add(PROMPT, 1) for _ in range(20)]
    driver.finish()
    # Three pages are shared; the four tokens after them are everybody's own.
    assert driver.rows == 100 + 19 * 4
    assert [sequence.cached for sequence in burst] == [0] + [96] * 19
    statistics = driver.scheduler.statistics
    assert (statistics.prefix_queries, statistics.prefix_hits) == (2000, 19 * 96)


def test_those_who_do_not_share_pass_those_who_wait() -> None:
    driver = Driver(Scheduler([PageGroup(200)], 64, 8))
    owner, waits, other = driver.add(PROMPT), driver.add(PROMPT), driver.add(5)
    assert counts(driver.step()) == {owner.id: 59, other.id: 5}
    assert waits.place == "waiting"
    driver.step()
    assert waits.place == "waiting"
    driver.step()
    assert waits.cached == 96


def test_nobody_waits_for_one_who_does_not_get_on() -> None:
    driver = Driver(Scheduler([PageGroup(200)], 64, 8))
    driver.add(PROMPT)
    waits = driver.add(PROMPT)
    for _ in range(3):
        assert waits.place == "waiting"
        driver.scheduler.schedule(0.0)
        driver.scheduler.check_integrity()
    assert waits.place == "running"
    driver.finish()


def test_nobody_waits_for_one_who_is_gone() -> None:
    driver = Driver(Scheduler([PageGroup(200)], 64, 8))
    owner, waits, behind = (driver.add(PROMPT, 2) for _ in range(3))
    driver.step()
    driver.scheduler.remove(owner)
    driver.step()
    # Two pages of the first one were complete.
    assert (waits.place, waits.cached, behind.place) == ("running", 64, "waiting")
    driver.finish()
    assert driver.rows == 64 + 37 + 5


def test_one_token_of_a_prompt_is_always_computed() -> None:
    driver = Driver(Scheduler([PageGroup(20)], 64, 8))
    driver.add(PROMPT[:64], 1)
    driver.finish()
    again, longer = driver.add(PROMPT[:64], 1), driver.add(PROMPT[:65], 1)
    driver.finish()
    assert (again.cached, longer.cached) == (32, 64)


def test_what_was_generated_is_found_too() -> None:
    driver = Driver(Scheduler([PageGroup(20)], 64, 8))
    driver.add(PROMPT[:40], 60)
    driver.finish()
    turn = driver.add(PROMPT[:40] + (0,) * 60, 1)
    driver.finish()
    # The last token was never computed.
    assert turn.cached == 96


def test_nothing_is_shared_between_cache_keys_or_without_a_cache() -> None:
    driver = Driver(Scheduler([PageGroup(20)], 64, 8))
    first, other = driver.add(PROMPT, 1, cache_key=b"one"), driver.add(PROMPT, 1, cache_key=b"two")
    driver.finish()
    assert (first.cached, other.cached, driver.rows) == (0, 0, 200)
    driver = Driver(Scheduler([PageGroup(20)], 64, 8, prefix_cache=False))
    driver.add(PROMPT, 1)
    driver.finish()
    driver.add(PROMPT, 1)
    driver.finish()
    assert driver.rows == 200
    assert driver.scheduler.statistics.cached_pages == 0


def test_a_prompt_that_is_scored_is_computed_whole() -> None:
    driver = Driver(Scheduler([PageGroup(20)], 64, 8, choices=10))
    driver.add(PROMPT, 1)
    driver.finish()
    scored = driver.add(PROMPT, 1, prompt_logprobs=0)
    rows = []
    while chunks := driver.step():
        (chunk,) = chunks
        assert chunk.selected <= 10
        rows += [chunk.start + row for row in chunk.scored]
    assert rows == list(range(99))
    assert scored.cached == 0
    # What it computed is the same, and kept once.
    assert driver.scheduler.statistics.cached_pages == 3


def test_a_preempted_sequence_finds_its_own_pages() -> None:
    driver = Driver(Scheduler([PageGroup(5)], 64, 8))
    driver.add(60, 50)
    preempted = driver.add(60, 30)
    driver.finish()
    statistics = driver.scheduler.statistics
    assert statistics.preemptions == 1
    assert preempted.generated == 30
    # Alone they are 109 and 89 rows. The second one is preempted when two pages of it are complete, and loses the last
    # of them to the first one, which comes to four.
    assert driver.rows == 109 + 89 + 32
    # That it found something of its own is no merit of the cache.
    assert statistics.prefix_hits == 0


def test_short_prompts_pass_a_long_one_which_gets_a_quarter() -> None:
    driver = Driver(Scheduler([PageGroup(200)], 64, 8))
    long = driver.add(1000)
    assert counts(driver.step()) == {long.id: 64}
    short = [driver.add(40) for _ in range(2)]
    assert counts(driver.step()) == {long.id: 16, short[0].id: 40, short[1].id: 8}
    assert counts(driver.step()) == {long.id: 31, short[0].id: 1, short[1].id: 32}


def test_a_long_prompt_comes_to_its_end_however_many_short_ones_come() -> None:
    driver = Driver(Scheduler([PageGroup(400)], 64, 16))
    long = driver.add(640)
    steps = 0
    while not long.generated:
        for _ in range(3):
            driver.add(60, 1)
        driver.step()
        steps += 1
    assert steps <= 640 / 16


def test_prompts_of_better_priority_are_computed_first() -> None:
    driver = Driver(Scheduler([PageGroup(200)], 64, 2))
    low, high = driver.add(200, priority=1), driver.add(300, priority=0)
    assert counts(driver.step()) == {high.id: 48, low.id: 16}
    last, first = driver.add(10, priority=1), driver.add(10, priority=-1)
    driver.scheduler.remove(high)
    driver.step()
    assert (first.place, last.place) == ("running", "waiting")


def test_decoding_is_not_held_up_by_prompts() -> None:
    """A step is to take 50 ms; of one row it takes 10.1 ms, and of a whole one of 512 rows 61 ms."""
    driver = Driver(Scheduler([PageGroup(400)], 512, 8, step_seconds=0.05))
    streams = [driver.add(4, 1000) for _ in range(4)]

    def timed() -> tuple[float, list[Chunk]]:
        chunks = driver.step()
        seconds = 0.01 + 0.0001 * sum(chunk.count for chunk in chunks)
        driver.scheduler.note_step(seconds)
        return seconds, chunks

    for _ in range(10):
        timed()
    long = driver.add(5000, 1)
    slowest, steps = 0.0, 0
    while long.place != "nowhere":
        seconds, chunks = timed()
        assert {stream.id for stream in streams} <= counts(chunks).keys()
        slowest, steps = max(slowest, seconds), steps + 1
    assert slowest <= 0.051
    assert steps <= 5000 / 396 + 10
    for stream in streams:
        driver.scheduler.remove(stream)
    # Where nobody decodes there is nothing to hold up.
    alone = driver.add(1000, 1)
    assert counts(driver.step()) == {alone.id: 512}


def test_the_queue_is_bounded_beyond_what_could_run() -> None:
    driver = Driver(Scheduler([PageGroup(20)], 64, 2, max_waiting=3))
    for _ in range(5):
        driver.add(5, 1000)
    with pytest.raises(QueueFullError, match="5 requests are waiting") as refused:
        driver.add(5)
    assert refused.value.retry_seconds == 1
    driver.step()
    with pytest.raises(QueueFullError, match="3 requests are waiting"):
        driver.add(5)
    driver.scheduler.remove(driver.scheduler.sequences[-1])
    driver.add(5)
    assert driver.scheduler.statistics.refusals == 2


def test_who_waits_too_long_is_told_and_forgotten() -> None:
    driver = Driver(Scheduler([PageGroup(20)], 64, 1))
    driver.add(5, 1000, queue_seconds=0.0)
    late, patient = driver.add(5, queue_seconds=2.0), driver.add(5)
    driver.step()
    assert len(driver.scheduler.take_started()) == 1
    driver.now = 2.5
    driver.step()
    ((sequence, error),) = driver.scheduler.take_timed_out()
    assert sequence is late
    assert "waited 2.5 s" in str(error)
    driver.scheduler.remove(late)
    assert driver.scheduler.sequences[1:] == [patient]
    assert not driver.scheduler.take_timed_out()
    assert not driver.scheduler.take_started()
    assert driver.scheduler.statistics.timeouts == 1


def decoding(scheduler: Scheduler, sequences: int, prompt: int = 10, max_tokens: int = 100) -> Driver:
    driver = Driver(scheduler)
    for _ in range(sequences):
        driver.add(prompt, max_tokens)
    driver.step()
    return driver


def proposed(driver: Driver, count: int) -> list[int]:
    for sequence in driver.scheduler.sequences:
        sequence.proposal = [0] * count
    return [len(chunk.proposed) for chunk in driver.step()]


@pytest.mark.parametrize(
    ("step_tokens", "choices", "expected"),
    [(64, 64, [5, 5, 5]), (33, 12, [3, 3, 3]), (33, 10, [3, 2, 2]), (33, 4, [1, 0, 0]), (33, 3, [0, 0, 0])],
)
def test_proposals_take_what_is_left(step_tokens: int, choices: int, expected: list[int]) -> None:
    assert proposed(decoding(Scheduler([PageGroup(20)], step_tokens, 3, choices=choices), 3), 5) == expected


def test_proposals_take_no_rows_of_prompts() -> None:
    driver = decoding(Scheduler([PageGroup(20)], 40, 3), 2)
    prompt = driver.add(36, 1)
    for sequence in driver.scheduler.sequences:
        sequence.proposal = [0] * 5
    assert {chunk.sequence.id: chunk.count + len(chunk.proposed) for chunk in driver.step()} == {
        1: 2,
        2: 2,
        prompt.id: 36,
    }


def test_proposals_end_where_the_request_does() -> None:
    driver = decoding(Scheduler([PageGroup(20)], 64, 3), 1, max_tokens=5)
    assert proposed(driver, 9) == [3]
    assert not driver.scheduler.sequences


def test_proposals_preempt_nobody() -> None:
    # Each has 30 tokens of its page of 32, and there is no other.
    driver = decoding(Scheduler([PageGroup(2)], 64, 2), 2, prompt=29, max_tokens=3)
    assert proposed(driver, 9) == [1, 1]
    assert driver.scheduler.statistics.preemptions == 0


def test_pages_of_proposals_go_back() -> None:
    driver = decoding(Scheduler([PageGroup(4)], 64, 2), 1, prompt=PAGE_TOKENS - 2)
    (sequence,) = driver.scheduler.sequences
    sequence.proposal = [0] * 9
    (chunk,) = driver.scheduler.schedule(0.0)
    assert (len(chunk.proposed), len(sequence.pages)) == (9, 2)
    chunk.advance(0)
    sequence.tokens.append(0)
    driver.scheduler.schedule(0.0)
    assert len(sequence.pages) == 1
    driver.scheduler.check_integrity()


def test_a_storm_of_cancellations_leaves_nothing() -> None:
    driver = Driver(Scheduler([PageGroup(64)], 64, 8))
    for number in range(200):
        driver.add(PROMPT if number % 3 else 50)
        if not number % 10:
            driver.step()
    for sequence in driver.scheduler.sequences[::-1]:
        driver.scheduler.remove(sequence)
        driver.scheduler.remove(sequence)
    driver.scheduler.check_integrity()
    assert driver.scheduler.free_pages == 64
    assert driver.step() == []
