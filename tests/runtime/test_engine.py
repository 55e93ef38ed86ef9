from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine_events import SEEDED, decoded, expected, run_all
from hash_backend import VOCABULARY, ChoosingHashBackend, HashBackend, logits_of
from honed.backends.base import RowChoice
from honed.errors import HonedError, ParameterError, QueueFullError, QueueTimeoutError
from honed.runtime.engine import Engine
from honed.runtime.events import Failed, Finished, Generated, Output, Started
from honed.runtime.request import GREEDY, Request, Sampling
from honed.runtime.sampling import Sampler, choose_row
from honed.runtime.speculation import SpeculationKind


def run(engine: Engine, requests: list[Request]) -> list[tuple[list[int], str]]:
    return [(list(output.tokens), output.reason) for output in engine.generate(requests)]


@st.composite
def requests(draw: st.DrawFn) -> Request:
    prompt = draw(st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=100))
    sampling = draw(st.sampled_from([GREEDY, SEEDED, Sampling(temperature=1.5, seed=2**64 - 1)]))
    stop = draw(st.frozensets(st.integers(0, VOCABULARY - 1), max_size=2))
    return Request(tuple(prompt), draw(st.integers(1, 50)), sampling, stop)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    st.lists(requests(), min_size=1, max_size=6), st.integers(5, 12), st.sampled_from([1, 3, 16, 64]), st.integers(1, 8)
)
def test_batches_chunks_and_preemption_change_nothing(
    requests: list[Request], pages: int, step_tokens: int, max_sequences: int
) -> None:
    backend = HashBackend(pages=pages, step_tokens=step_tokens)
    engine = Engine(backend, max_sequences=max_sequences)
    assert run(engine, requests) == [expected(request, engine.positions) for request in requests]
    assert engine.idle
    assert engine.free_pages == pages
    engine.check_integrity()


@settings(deadline=None, max_examples=20, derandomize=True)
@given(st.lists(requests(), min_size=1, max_size=6), st.sampled_from([3, 16, 64]), st.integers(1, 8))
def test_a_backend_that_chooses_gives_the_same_tokens(
    requests: list[Request], step_tokens: int, max_sequences: int
) -> None:
    engine = Engine(ChoosingHashBackend(pages=12, step_tokens=step_tokens), max_sequences=max_sequences)
    assert run(engine, requests) == [expected(request, engine.positions) for request in requests]


def test_a_backend_that_chooses_is_asked_for_plain_rows_where_nothing_is_set() -> None:
    backend = ChoosingHashBackend()
    run(Engine(backend), [Request((1, 2), 4)])
    assert backend.asked == [[RowChoice()]] * 4


def test_logits_that_are_not_finite_fail_their_request_alone_on_a_backend_that_chooses() -> None:
    backend = ChoosingHashBackend()
    backend.poison.add((1, 2))
    engine = Engine(backend)
    poisoned, healthy = engine.add(Request((1, 2), 4)), engine.add(Request((3,), 4))
    events = engine.step()
    assert [event.request_id for event in events if isinstance(event, Failed)] == [poisoned]
    assert [event.request_id for event in events if isinstance(event, Generated)] == [healthy]


def test_integrity_holds_after_every_step_under_pressure() -> None:
    engine = Engine(HashBackend(pages=5, step_tokens=20), max_sequences=4)
    wanted = [Request((i,) * 30, 60, SEEDED) for i in range(1, 6)]
    ids = [engine.add(request) for request in wanted]
    tokens: dict[int, list[int]] = {i: [] for i in ids}
    while not engine.idle:
        for event in engine.step():
            if isinstance(event, Generated):
                tokens[event.request_id].append(event.token)
        engine.check_integrity()
    assert [tokens[i] for i in ids] == [expected(request)[0] for request in wanted]


def test_preempted_requests_are_recomputed() -> None:
    backend = HashBackend(pages=4, step_tokens=64)
    wanted = [Request((i,) * 40, 50) for i in (1, 2)]
    assert run(Engine(backend), wanted) == [expected(request) for request in wanted]
    # Without preemption every position of a request is computed once.
    assert sum(batch.tokens.size for batch in backend.batches) > sum(40 + 50 - 1 for _ in wanted)


def test_decoding_goes_on_while_a_long_prompt_is_chunked() -> None:
    backend = HashBackend(pages=16, step_tokens=16)
    engine = Engine(backend)
    short = engine.add(Request((1, 2), 10))
    engine.step()
    engine.add(Request((3,) * 100, 1))
    for _ in range(6):
        assert [event.request_id for event in engine.step() if isinstance(event, Generated)] == [short]
        assert backend.batches[-1].tokens.size == 16
        assert backend.batches[-1].selected.tolist() == [0]


def test_tokens_of_one_prompt_arrive_in_order() -> None:
    backend = HashBackend(step_tokens=8)
    Engine(backend).generate([Request(tuple(range(30)), 1)])
    assert np.concatenate([batch.positions for batch in backend.batches]).tolist() == list(range(30))


def test_requests_start_in_order_of_arrival() -> None:
    engine = Engine(HashBackend(pages=16, step_tokens=8), max_sequences=2)
    ids = [engine.add(Request((i,) * 10, 2)) for i in range(1, 7)]
    first: list[int] = []
    while not engine.idle:
        first += [e.request_id for e in engine.step() if isinstance(e, Generated) and e.request_id not in first]
    assert first == ids
    assert all(a < b for a, b in pairwise(first))


def test_a_fault_in_one_request_ends_that_request_alone() -> None:
    wanted = [Request((i, i + 1), 20, SEEDED) for i in (1, 5, 9)]
    backend = HashBackend()
    faulty = [*wanted[1].prompt, *expected(wanted[1])[0][:7]]
    backend.poison.add(tuple(faulty))
    engine = Engine(backend)
    ids = [engine.add(request) for request in wanted]
    events = []
    while not engine.idle:
        events += engine.step()
    failed = [event for event in events if isinstance(event, Failed)]
    assert [event.request_id for event in failed] == [ids[1]]
    assert isinstance(failed[0].error, HonedError)
    assert "50 of 50 are not finite" in str(failed[0].error)
    for index in (0, 2):
        tokens = [e.token for e in events if isinstance(e, Generated) and e.request_id == ids[index]]
        assert tokens == expected(wanted[index])[0]
    assert engine.free_pages == backend.pages


def test_generate_raises_the_fault_and_leaves_nothing_behind() -> None:
    backend = HashBackend()
    backend.poison.add((1, 2))
    engine = Engine(backend)
    with pytest.raises(HonedError, match="not finite"):
        engine.generate([Request((3,), 30), Request((1, 2), 5)])
    assert engine.idle
    assert engine.free_pages == backend.pages


def test_a_failing_backend_can_be_stepped_again() -> None:
    backend = HashBackend()
    engine = Engine(backend)
    request = Request((1, 2, 3), 8, SEEDED)
    engine.add(request)
    tokens = []
    engine.step()
    backend.fail_next = True
    with pytest.raises(RuntimeError, match="backend failed"):
        engine.step()
    engine.check_integrity()
    while not engine.idle:
        tokens += [event.token for event in engine.step() if isinstance(event, Generated)]
    assert tokens == expected(request)[0][1:]


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_abort_frees_the_pages_and_is_reported_once(steps: int) -> None:
    backend = HashBackend()
    engine = Engine(backend)
    other = Request((7, 8), 20)
    kept, aborted = engine.add(other), engine.add(Request((1,) * 40, 100))
    events = [event for _ in range(steps) for event in engine.step()]
    free = engine.free_pages
    engine.abort(aborted)
    engine.abort(aborted)
    assert engine.free_pages == free + (2 if steps else 0)
    while not engine.idle:
        events += engine.step()
    assert [event for event in events if event == Finished(aborted, "abort")] == [Finished(aborted, "abort")]
    assert [e.token for e in events if isinstance(e, Generated) and e.request_id == kept] == expected(other)[0]
    engine.abort(kept)
    assert engine.idle


def test_the_context_ends_a_reply_with_length() -> None:
    engine = Engine(HashBackend(context=40, pages=16))
    (output,) = engine.generate([Request((1,) * 30, 1000)])
    assert (len(output.tokens), output.reason) == (10, "length")


def test_a_small_cache_ends_a_reply_with_length() -> None:
    engine = Engine(HashBackend(context=512, pages=2))
    (output,) = engine.generate([Request((1,) * 60, 1000)])
    assert (len(output.tokens), output.reason) == (4, "length")


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (Request((), 5), "prompt"),
        (Request((1, VOCABULARY), 5), f"prompt = {VOCABULARY}: .* 0 to {VOCABULARY - 1}"),
        (Request((-1,), 5), "prompt = -1"),
        (Request((1,), -1), "max_tokens = -1"),
        (Request((1,) * 100, 5), "prompt = '100 tokens': .*context of 100"),
    ],
)
def test_what_cannot_run_is_refused(request_: Request, says: str) -> None:
    engine = Engine(HashBackend(context=100))
    with pytest.raises(ParameterError, match=says):
        engine.add(request_)
    assert engine.idle


def test_a_prompt_that_the_cache_cannot_hold_is_refused_with_both_numbers() -> None:
    with pytest.raises(ParameterError, match=r"prompt = '64 tokens': .*KV cache of 64"):
        Engine(HashBackend(context=512, pages=2)).add(Request((1,) * 64, 5))


def test_max_sequences_must_be_positive() -> None:
    with pytest.raises(ParameterError, match="max_sequences"):
        Engine(HashBackend(), max_sequences=0)


def test_the_first_report_is_that_it_started() -> None:
    engine = Engine(HashBackend(step_tokens=16))
    prompt = tuple(range(40))
    engine.generate([Request(prompt, 3)])
    again = engine.add(Request(prompt, 3))
    events = run_all(engine)
    assert events[0] == Started(again, 32)
    assert sum(isinstance(event, Started) for event in events) == 1


def test_no_stop_token_is_chosen_before_min_tokens() -> None:
    plain = expected(Request((1, 2), 30))[0]
    stop = frozenset(plain[:3])
    for minimum in (0, 1, 2, 9):
        request = Request((1, 2), 30, stop_tokens=stop, min_tokens=minimum)
        (output,) = Engine(HashBackend()).generate([request])
        assert len(output.tokens) >= minimum
        assert not stop & set(output.tokens)
    assert expected(Request((1, 2), 30, stop_tokens=stop)) == ([], "stop")


def test_max_tokens_0_takes_a_prompt_as_long_as_the_context() -> None:
    engine = Engine(HashBackend(context=64))
    assert engine.generate([Request((1,) * 64, 0)]) == [Output((), "length")]
    with pytest.raises(ParameterError, match="prompt = '65 tokens'"):
        engine.add(Request((1,) * 65, 0))


def test_logprobs_come_with_their_tokens() -> None:
    sampling = Sampling(temperature=1.0, seed=3, logprobs=2)
    engine = Engine(HashBackend())
    engine.add(Request((4, 5), 6, sampling))
    tokens = [4, 5]
    for event in run_all(engine):
        if isinstance(event, Generated):
            wanted = choose_row(logits_of(tokens), RowChoice(score=event.token, logprobs=2)).logprobs
            assert event.logprobs == wanted
            tokens.append(event.token)
    assert len(tokens) == 8


def test_one_that_waited_too_long_fails_alone() -> None:
    engine = Engine(HashBackend(pages=4), max_sequences=1)
    first, late = engine.add(Request((1,), 5)), engine.add(Request((2,), 5, queue_seconds=0.0))
    events = run_all(engine)
    failed = [event for event in events if isinstance(event, Failed)]
    assert [(event.request_id, type(event.error)) for event in failed] == [(late, QueueTimeoutError)]
    assert decoded(events, first) == expected(Request((1,), 5))[0]


def test_what_would_wait_behind_too_many_is_refused() -> None:
    engine = Engine(HashBackend(), max_sequences=1, max_waiting=1)
    for _ in range(2):
        engine.add(Request((1,), 5))
    with pytest.raises(QueueFullError):
        engine.add(Request((1,), 5))
    assert len({event.request_id for event in run_all(engine)}) == 2


def test_a_sampler_that_raises_ends_its_request_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Sampler.row

    def row(self: Sampler, *given: Any, **named: Any) -> RowChoice:
        if self is broken:
            raise ValueError("sampler")
        return real(self, *given, **named)

    engine = Engine(HashBackend())
    ids = [engine.add(Request((i, i), 20, SEEDED)) for i in range(3)]
    events = engine.step()
    broken = engine._sequences[ids[1]].sampler
    monkeypatch.setattr(Sampler, "row", row)
    events += run_all(engine)
    assert [e.request_id for e in events if isinstance(e, Failed)] == [ids[1]]
    monkeypatch.undo()
    for i in (0, 2):
        assert decoded(events, ids[i]) == expected(Request((i, i), 20, SEEDED))[0]


REPEATING = (5, 6, 7, 8, 9, 10) * 4
"""Of a backend that sees the last tokens only, so that a greedy reply soon repeats itself."""


@settings(deadline=None, max_examples=30, derandomize=True)
@given(
    st.lists(requests(), min_size=1, max_size=5),
    st.integers(6, 12),
    st.sampled_from([5, 16, 64]),
    st.sampled_from([1, 2, 4]),
    st.booleans(),
)
def test_proposals_change_nothing(
    requests: list[Request], pages: int, step_tokens: int, window: int, prefix_cache: bool
) -> None:
    def outputs(speculation: SpeculationKind) -> list[Output]:
        backend = ChoosingHashBackend(pages=pages, step_tokens=step_tokens, window=window)
        engine = Engine(backend, speculation=speculation, prefix_cache=prefix_cache)
        found = engine.generate(requests)
        engine.check_integrity()
        assert engine.free_pages == pages
        return found

    assert outputs("prompt-lookup") == outputs("off")


def test_a_reply_that_repeats_itself_takes_fewer_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    # As if rows cost nothing here, whatever is measured.
    monkeypatch.setattr("honed.runtime.step_costs.StepCosts.seconds", lambda *_: 1.0)
    monkeypatch.setattr("honed.runtime.step_costs.StepCosts.age", lambda *_: 0)

    def steps(speculation: SpeculationKind, speculate: bool = True) -> int:
        engine = Engine(ChoosingHashBackend(window=2, step_tokens=256), speculation=speculation)
        engine.generate([Request(REPEATING, 400, speculate=speculate)])
        return engine.statistics().steps

    assert steps("off") == 400
    assert steps("prompt-lookup", speculate=False) == 400
    assert steps("prompt-lookup") < 150


def test_statistics_count_what_was_done() -> None:
    engine = Engine(ChoosingHashBackend(), speculation="off")
    engine.generate([Request((1,) * 40, 5), Request((2,) * 3, 7)])
    waiting = engine.add(Request((9,), 5))
    found = engine.statistics()
    assert (found.running, found.waiting, found.total_pages) == (0, 1, 16)
    assert found.prompt_tokens == 43
    assert found.generated_tokens == 12
    assert found.steps == 7
    assert found.step_seconds > 0
    assert found.proposed == found.accepted == 0
    engine.abort(waiting)
    assert engine.statistics().waiting == 0


def test_engines_that_use_one_backend_in_turn_do_not_believe_its_pages() -> None:
    backend = HashBackend(pages=8)
    prompts = [tuple(range(first, first + 40)) for first in (0, 5)]
    engines = [Engine(backend), Engine(backend)]
    for engine, prompt in zip(engines * 2, prompts * 2, strict=True):
        request = Request(prompt, 4)
        assert run(engine, [request]) == [expected(request)]
        engine.check_integrity()
    # Step by step, as well.
    requests = [Request(prompt, 10) for prompt in prompts]
    ids = [engine.add(request) for engine, request in zip(engines, requests, strict=True)]
    tokens: list[list[int]] = [[], []]
    while not all(engine.idle for engine in engines):
        for index, engine in enumerate(engines):
            events = engine.step() if not engine.idle else []
            tokens[index] += [e.token for e in events if isinstance(e, Generated) and e.request_id == ids[index]]
    assert tokens == [expected(request)[0] for request in requests]
