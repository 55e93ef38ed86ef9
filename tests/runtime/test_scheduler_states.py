"""The scheduler under whatever may happen to it, in any order, with a model whose tokens are known beforehand.

The cache is simulated. A place of it holds a digest of all tokens up to there and of the cache key, as keys and values
are a function of all tokens up to theirs: a row that reads others than those of its own sequence fails, so does one
that writes a page which somebody else can read.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence as Many
from dataclasses import dataclass, field
from random import Random

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from numpy.typing import NDArray

from honed.backends.base import PageGroup, span_pages
from honed.errors import QueueFullError
from honed.runtime.batch import Chunk, make_batch
from honed.runtime.request import GREEDY, Request
from honed.runtime.sampling import Sampler
from honed.runtime.scheduler import Scheduler
from honed.runtime.sequence import Sequence

PAGE = 32
BLOCKS = [tuple(range(first, first + PAGE)) for first in (0, 40)]
"""What prompts are put together from, so that many of them begin alike."""


def next_token(context: Many[int]) -> int:
    """The model. A few different tokens, so that a wrong proposal is right now and then."""
    return zlib.crc32(np.array(context, dtype=np.int32).tobytes()) % 3


def contents(cache_key: bytes, tokens: Many[int]) -> list[int]:
    """What the cache holds of each position."""
    digest = zlib.crc32(b"key" + cache_key)
    digests = []
    for token in tokens:
        digest = zlib.crc32(token.to_bytes(4, "little"), digest)
        digests.append(digest)
    return digests


def chunk_text(chunk: Chunk) -> list[int]:
    """The tokens of a sequence up to the last row of a chunk."""
    return [*chunk.sequence.tokens[: chunk.start + chunk.count], *chunk.proposed]


@dataclass
class Run:
    """What is expected of one request, and what has come."""

    sequence: Sequence
    wanted: list[int]
    scored: list[int] = field(default_factory=list)
    started: int = 0


class Scheduling(RuleBasedStateMachine):
    """Requests come, are stepped, fail, are aborted; time passes."""

    @initialize(
        pages=st.integers(4, 14),
        step_tokens=st.sampled_from([3, 20, 64, 200]),
        max_sequences=st.integers(1, 6),
        choices=st.sampled_from([6, 9, 64]),
        window=st.sampled_from([None, None, None, 20, 70]),
        smaller=st.sampled_from([(), (), (1,), (33, 2), (40,), (64, 20)]),
        spare=st.sampled_from([0, 1, 3, 20]),
        max_waiting=st.sampled_from([None, 2]),
        step_seconds=st.sampled_from([None, 0.05]),
        prefix_cache=st.sampled_from([True, True, False]),
    )
    def start(
        self,
        *,
        pages: int,
        step_tokens: int,
        max_sequences: int,
        choices: int,
        window: int | None,
        smaller: tuple[int, ...],
        spare: int,
        max_waiting: int | None,
        step_seconds: float | None,
        prefix_cache: bool,
    ) -> None:
        """smaller: windows of further groups; spare: pages that these have beyond those of one sequence."""
        self.pages, self.step_tokens, self.choices, self.window = pages, step_tokens, choices, window
        self.groups = [PageGroup(pages, window)]
        for each in smaller:
            least = min(pages, span_pages(each))
            self.groups.append(PageGroup(least + spare, each, enough=least + spare // 2))
        self.scheduler = Scheduler(
            self.groups,
            step_tokens,
            max_sequences,
            choices=choices,
            max_waiting=max_waiting,
            step_seconds=step_seconds,
            prefix_cache=prefix_cache,
        )
        self.memories = [np.full((group.pages, PAGE), -1, dtype=np.int64) for group in self.groups]
        self.runs: dict[int, Run] = {}
        self.count = 0
        self.now = 0.0

    @rule(
        blocks=st.lists(st.sampled_from(BLOCKS), max_size=3),
        tail=st.lists(st.integers(0, 2), min_size=1, max_size=40),
        max_tokens=st.sampled_from([1, 2, 40, 90]),
        priority=st.sampled_from([0, 0, 0, 1, -1]),
        queue_seconds=st.sampled_from([None, None, 0.0, 3.0]),
        scores=st.sampled_from([None, None, None, 2]),
        cache_key=st.sampled_from([b"one", b"one", b"two"]),
        copies=st.integers(1, 3),
    )
    def add(
        self,
        *,
        blocks: list[tuple[int, ...]],
        tail: list[int],
        max_tokens: int,
        priority: int,
        queue_seconds: float | None,
        scores: int | None,
        cache_key: bytes,
        copies: int,
    ) -> None:
        prompt = (*(token for block in blocks for token in block), *tail)[: self.pages * PAGE - 1]
        request = Request(
            prompt,
            max_tokens,
            priority=priority,
            queue_seconds=queue_seconds,
            prompt_logprobs=scores,
            cache_key=cache_key,
        )
        limit = min(max_tokens, self.pages * PAGE - len(prompt))
        wanted = list(prompt)
        for _ in range(limit):
            wanted.append(next_token(self._seen(wanted)))
        for _ in range(copies):
            sequence = Sequence(self.count, request, limit, Sampler(GREEDY, prompt), list(prompt))
            self.count += 1
            try:
                self.scheduler.add(sequence, self.now)
            except QueueFullError as error:
                assert 1 <= error.retry_seconds <= 120
            else:
                self.runs[sequence.id] = Run(sequence, wanted)

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, 100))
    def abort(self, which: int) -> None:
        chosen = sorted(self.runs)[which % len(self.runs)]
        self.scheduler.remove(self.runs.pop(chosen).sequence)

    @rule(seconds=st.sampled_from([0.1, 5.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(steps=st.integers(1, 12), guesses=st.lists(st.integers(0, 2), max_size=6), right=st.integers(0, 40))
    def step(self, steps: int, guesses: list[int], right: int) -> None:
        for _ in range(steps):
            self._step(guesses, right)

    @rule()
    def fail(self) -> None:
        """The backend wrote what it was to, but the step does not count."""
        self._compute(self._schedule())

    @rule()
    def overwrite(self) -> None:
        """Somebody else used the backend."""
        for memory in self.memories:
            memory[:] = -2
        self.scheduler.forget_contents()

    @invariant()
    def integrity(self) -> None:
        if hasattr(self, "scheduler"):
            self.scheduler.check_integrity()
            assert {sequence.id for sequence in self.scheduler.sequences} == set(self.runs)

    def teardown(self) -> None:
        """Everybody comes to the end, and nothing stays behind."""
        if not hasattr(self, "scheduler"):
            return
        left = sum(len(run.wanted) for run in self.runs.values())
        # At the worst each is computed anew after each preemption, a few rows a step; in practice far less.
        for _ in range(50 * left + 10):
            if not self.runs:
                break
            self._step([0], 3)
        assert not self.runs, "requests did not come to their end"
        self.scheduler.check_integrity()
        assert self.scheduler.free_pages == self.pages
        assert self.scheduler.free_window_pages == tuple(group.pages for group in self.groups[1:])
        assert not self.scheduler.schedule(self.now)

    def _seen(self, context: list[int]) -> list[int]:
        return context if self.window is None else context[-self.window :]

    def _schedule(self) -> list[Chunk]:
        running = [sequence for sequence in self.scheduler.sequences if sequence.place == "running"]
        first = running[0] if running else None
        computed = 0 if first is None else first.computed
        chunks = self.scheduler.schedule(self.now)
        for sequence, error in self.scheduler.take_timed_out():
            assert "waited" in str(error)
            assert not sequence.started
            del self.runs[sequence.id]
        for sequence in self.scheduler.take_started():
            run = self.runs[sequence.id]
            run.started += 1
            assert sequence.cached % PAGE == 0
            assert sequence.cached < len(sequence.tokens)
        if first is not None:
            assert first.place == "running", "the oldest of the best priority was preempted"
            assert first.computed == computed
        if self.runs:
            assert chunks, "nothing is computed though somebody waits"
        return chunks

    def _compute(self, chunks: list[Chunk]) -> None:
        """Writes the rows of a step, and reads the context of every one of them."""
        if not chunks:
            return
        batch = make_batch(chunks).as_arrays()
        assert len(batch.tokens) <= self.step_tokens
        assert len(batch.selected) == sum(chunk.selected for chunk in chunks) <= self.choices
        assert (np.diff(batch.selected) > 0).all()
        for row, chunk in enumerate(chunks):
            own = np.flatnonzero(batch.sequences == row)
            text = chunk_text(chunk)
            assert batch.positions[own].tolist() == list(range(chunk.start, len(text)))
            assert batch.tokens[own].tolist() == text[chunk.start :]
        tables = batch.page_tables if len(self.groups) > 1 else batch.page_tables[None]
        assert len(tables) == len(self.groups)
        for number, group in enumerate(self.groups):
            self._compute_group(number, group, chunks, tables[number])

    def _compute_group(self, number: int, group: PageGroup, chunks: list[Chunk], tables: NDArray[np.int32]) -> None:
        memory = self.memories[number]
        others: list[set[int]] = []
        written: list[set[int]] = []
        for table, chunk in zip(tables, chunks, strict=True):
            sequence, text = chunk.sequence, chunk_text(chunk)
            expected = contents(sequence.request.cache_key, text)
            for position in range(chunk.start, len(text)):
                memory[table[position // PAGE], position % PAGE] = expected[position]
                first = 0 if group.window is None else max(0, position + 1 - group.window)
                read = memory[table].reshape(-1)[first : position + 1]
                assert read.tolist() == expected[first : position + 1]
            released = sequence.released if number == 0 else sequence.windows[number - 1].released
            used = range(released, -(-len(text) // PAGE))
            others.append({int(table[index]) for index in used})
            written.append({int(table[index]) for index in range(chunk.start // PAGE, -(-len(text) // PAGE))})
            if number and chunk.count == 1 and not chunk.proposed:
                assert group.window is not None
                held = len(sequence.windows[number - 1].held)
                assert held <= span_pages(group.window) + self._step_pages(), "more is held than rows see"
        for row, pages in enumerate(written):
            assert not any(pages & other for index, other in enumerate(others) if index != row)

    def _step_pages(self) -> int:
        """Pages that a step which failed may have left with a sequence."""
        return -(-self.step_tokens // PAGE)

    def _step(self, guesses: list[int], right: int) -> None:
        for run in self.runs.values():
            done = len(run.sequence.tokens)
            run.sequence.proposal = [*run.wanted[done : done + right], *guesses]
        chunks = self._schedule()
        self._compute(chunks)
        self.now += 0.01
        self.scheduler.note_step(0.001 + 0.0002 * sum(chunk.count for chunk in chunks))
        for chunk in chunks:
            self._take(self.runs[chunk.sequence.id], chunk)

    def _take(self, run: Run, chunk: Chunk) -> None:
        """Accepts proposed tokens as far as the model agrees, and one token after them."""
        sequence = run.sequence
        run.scored += [chunk.start + row for row in chunk.scored]
        accepted: list[int] = []
        if chunk.completes:
            context = list(sequence.tokens)
            for token in (*chunk.proposed, None):
                chosen = next_token(self._seen(context))
                accepted.append(chosen)
                context.append(chosen)
                if chosen != token:
                    break
        chunk.advance(max(0, len(accepted) - 1))
        sequence.tokens += accepted
        assert sequence.tokens == run.wanted[: len(sequence.tokens)]
        if sequence.generated == sequence.limit:
            expected = range(len(sequence.request.prompt) - 1 if sequence.request.prompt_logprobs is not None else 0)
            assert run.scored == list(expected), "rows of the prompt were scored twice, or not"
            assert run.started == 1
            self.scheduler.remove(sequence)
            del self.runs[sequence.id]


Scheduling.TestCase.settings = settings(deadline=None, max_examples=100, stateful_step_count=30, derandomize=True)
TestScheduling = Scheduling.TestCase


@pytest.mark.parametrize("seed", range(40))
def test_long_runs_under_pressure(seed: int) -> None:
    """Hypothesis finds short ways to an error; these runs are long, and short of pages."""
    random = Random(seed)
    machine = Scheduling()
    machine.start(
        pages=random.choice([4, 5, 7, 12]),
        step_tokens=random.choice([7, 40, 64, 200]),
        max_sequences=random.randint(2, 6),
        choices=random.choice([6, 9, 64]),
        window=random.choice([None, None, None, 20, 70]),
        smaller=random.choice([(), (), (1,), (33, 2), (40,), (64, 20)]),
        spare=random.choice([0, 1, 3, 20]),
        max_waiting=random.choice([None, 4]),
        step_seconds=random.choice([None, 0.01]),
        prefix_cache=random.random() < 0.8,
    )
    for _ in range(120):
        number = random.random()
        if number < 0.2:
            machine.add(
                blocks=random.choices(BLOCKS, k=random.randint(0, 3)),
                tail=random.choices(range(3), k=random.randint(1, 40)),
                max_tokens=random.choice([1, 30, 90]),
                priority=random.choice([0, 0, 0, 1, -1]),
                queue_seconds=random.choice([None, None, 0.0, 3.0]),
                scores=random.choice([None, None, None, 2]),
                cache_key=random.choice([b"one", b"one", b"two"]),
                copies=random.randint(1, 3),
            )
        elif number < 0.25 and machine.runs:
            machine.abort(which=random.randrange(100))
        elif number < 0.3:
            machine.wait(seconds=random.choice([0.1, 5.0]))
        elif number < 0.35:
            machine.fail()
        elif number < 0.37:
            machine.overwrite()
        else:
            machine.step(
                steps=random.randint(1, 8),
                guesses=random.choices(range(3), k=random.randint(0, 6)),
                right=random.choice([0, 0, 2, 40]),
            )
        machine.integrity()
    machine.teardown()
