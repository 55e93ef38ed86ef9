from __future__ import annotations

from random import Random

import pytest

from honed.runtime.request import GREEDY, Request
from honed.runtime.sampling import Sampler
from honed.runtime.sequence import Sequence
from honed.runtime.waiting import WaitingQueue


def sequence(arrival: int, priority: int = 0, queue_seconds: float | None = None, queued_at: float = 0.0) -> Sequence:
    request = Request((1,), 1, priority=priority, queue_seconds=queue_seconds)
    return Sequence(arrival, request, 1, Sampler(GREEDY, ()), [1], arrival=arrival, queued_at=queued_at)


def test_priority_goes_before_arrival() -> None:
    queue = WaitingQueue()
    for arrival, priority in enumerate([0, 5, -1, 0, -1]):
        queue.add(sequence(arrival, priority))
    assert [waiting.id for waiting in queue] == [2, 4, 0, 3, 1]
    assert queue[0].id == 2
    queue.remove(queue[2])
    assert [waiting.id for waiting in queue] == [2, 4, 3, 1]
    queue.check_integrity()


def test_who_waited_too_long_is_taken_out() -> None:
    queue = WaitingQueue()
    waiting = [sequence(0, 0, 3.0), sequence(1), sequence(2, 0, 1.0, queued_at=1.5), sequence(3, 0, 0.5)]
    for one in waiting:
        queue.add(one)
    assert queue.expire(0.4) == []
    assert queue.expire(2.6) == [waiting[3], waiting[2]]
    assert [one.place for one in waiting] == ["waiting", "waiting", "nowhere", "nowhere"]
    assert queue.expire(100.0) == [waiting[0]]
    assert list(queue) == [waiting[1]]


def test_who_started_once_waits_as_long_as_it_takes() -> None:
    queue = WaitingQueue()
    preempted = sequence(0, 0, 1.0)
    queue.add(preempted)
    queue.admit(0, 0.5)
    preempted.started = True
    queue.add(preempted)
    assert queue.expire(10.0) == []
    assert list(queue) == [preempted]


def test_who_left_is_not_taken_out_again() -> None:
    queue = WaitingQueue()
    left = sequence(0, 0, 1.0)
    queue.add(left)
    queue.remove(left)
    assert queue.expire(10.0) == []


def test_deadlines_of_those_who_left_are_not_kept() -> None:
    queue = WaitingQueue()
    for arrival in range(10_000):
        one = sequence(arrival, 0, 3600.0)
        queue.add(one)
        queue.remove(one)
    assert len(queue._deadlines) < 100


@pytest.mark.parametrize(("interval", "length", "seconds"), [(0.001, 10, 1), (2.0, 9, 10), (60.0, 50, 120)])
def test_retry_is_when_half_of_the_queue_is_through(interval: float, length: int, seconds: int) -> None:
    queue = WaitingQueue()
    assert queue.retry_seconds == 1
    for arrival in range(length + 5):
        queue.add(sequence(arrival))
    for number in range(5):
        queue.admit(0, number * interval)
    assert len(queue) == length
    assert queue.retry_seconds == seconds


def test_time_without_a_queue_says_nothing_about_its_pace() -> None:
    queue = WaitingQueue()
    for number in range(3):
        queue.add(sequence(number))
        queue.admit(0, number * 1000.0)
    for arrival in range(10):
        queue.add(sequence(arrival))
    assert queue.retry_seconds == 1


@pytest.mark.parametrize("seed", range(10))
def test_it_is_in_order_whatever_happens(seed: int) -> None:
    random = Random(seed)
    queue = WaitingQueue()
    expected: list[Sequence] = []
    for arrival in range(200):
        if random.random() < 0.6 or not expected:
            expected.append(sequence(arrival, random.randrange(3), random.choice([None, 5.0]), float(arrival)))
            queue.add(expected[-1])
        elif random.random() < 0.5:
            queue.remove(expected.pop(random.randrange(len(expected))))
        else:
            expected.remove(queue[0])
            queue.admit(0, float(arrival))
        for gone in queue.expire(float(arrival)):
            expected.remove(gone)
        queue.check_integrity()
        assert list(queue) == sorted(expected, key=lambda one: one.key)
