"""Percentiles, charts, and the list of the last requests."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from honed.server.history import KEPT, POINTS, History, Percentiles, RequestRecord, Times


def record(number: int, key: str = "k") -> RequestRecord:
    return RequestRecord(f"r{number}", key, "m", "chat", 1)


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_percentiles_are_samples_in_order(samples: list[float]) -> None:
    found = Percentiles.of(samples)
    assert found.p50 in samples
    assert found.p99 in samples
    assert found.p50 is not None
    assert found.p95 is not None
    assert found.p99 is not None
    assert found.p50 <= found.p95 <= found.p99


def test_no_samples() -> None:
    assert Percentiles.of([]) == Percentiles(None, None, None)


def test_tokens_of_the_last_seconds() -> None:
    now = [100.0]
    times = Times(lambda: now[0])
    for second in range(10):
        now[0] = 100.0 + second
        times.add_tokens(5)
        times.add_tokens(5)
    now[0] = 110.0
    assert times.tokens_per_second() == 10
    points = times.points()
    assert len(points) == POINTS
    assert points[-10:] == [10] * 10
    assert not any(points[:-10])
    now[0] = 1000.0
    assert times.tokens_per_second() == 0


def test_the_last_hundred_of_each_key_and_all_that_run() -> None:
    history = History()
    running = record(-1)
    history.add(running)
    for number in range(3 * KEPT):
        ended = record(number)
        ended.ended = ended.began + 1
        history.add(ended)
    found = history.of("k")
    assert len(found) == KEPT
    assert found[0].request_id == f"r{3 * KEPT - 1}"
    assert running in found
    assert history.find("k", "r-1") is running
    assert history.find("other", "r-1") is None
    assert history.of("other") == []


def test_rates() -> None:
    waiting = record(0)
    assert waiting.first_token_seconds is None
    assert waiting.tokens_per_second is None
    one = record(1)
    one.first, one.last, one.generated_tokens = one.began + 1, one.began + 3, 21
    assert one.first_token_seconds == 1
    assert one.tokens_per_second == 10
