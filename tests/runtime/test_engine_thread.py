"""The owner of an engine under many threads, and under what goes wrong."""

from __future__ import annotations

import gc
import random
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from engine_rest import settle
from hash_backend import HashBackend
from honed.errors import HonedError, NativeError, ParameterError
from honed.runtime.engine import Engine
from honed.runtime.engine_thread import EngineError, EngineThread, ReaderGone, Ticket
from honed.runtime.events import Event, Failed, Finished, Generated, Queued
from honed.runtime.request import Request, Sampling


class Box:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.calls = 0
        self.threads: set[str] = set()
        self._ended = threading.Event()

    def __call__(self, events: list[Event]) -> None:
        assert events
        assert not self._ended.is_set(), "events after the end"
        self.calls += 1
        self.threads.add(threading.current_thread().name)
        self.events += events
        if isinstance(events[-1], Finished | Failed):
            self._ended.set()

    def wait(self) -> tuple[int, ...]:
        """The tokens, once it has ended."""
        assert self._ended.wait(60)
        return tuple(event.token for event in self.events if isinstance(event, Generated))

    @property
    def end(self) -> Event:
        return self.events[-1]


class Gate(HashBackend):
    """Runs a step when it is let."""

    def __init__(self, **sizes: Any) -> None:
        super().__init__(**sizes)
        self.gate = threading.Semaphore(0)
        self.entered = threading.Semaphore(0)

    def forward(self, batch: Any) -> Any:
        self.entered.release()
        assert self.gate.acquire(timeout=60)
        return super().forward(batch)


def request(seed: int, *, tokens: int = 20, prompt: int = 5) -> Request:
    return Request(tuple((seed + i) % 50 for i in range(prompt)), tokens, Sampling(seed=seed))


def alone(made: Request) -> tuple[int, ...]:
    return Engine(HashBackend()).generate([made])[0].tokens


@pytest.fixture
def backend() -> HashBackend:
    return HashBackend(pages=32)


@pytest.fixture
def engine(backend: HashBackend) -> Engine:
    return Engine(backend)


@pytest.fixture
def thread(engine: Engine) -> Iterator[EngineThread]:
    made = EngineThread(engine)
    yield made
    made.close()
    assert not any(one.name == "honed-engine" for one in threading.enumerate())


def test_events_come_on_one_thread_in_order(thread: EngineThread) -> None:
    box = Box()
    ticket = thread.submit(request(3), box)
    assert box.wait() == alone(request(3))
    assert isinstance(box.events[0], Queued)
    assert box.end == Finished(0, "length")
    assert box.threads == {"honed-engine"}
    assert box.calls == 21  # the queue, and a call a step
    thread.abort(ticket)  # has ended: nothing happens
    settle(thread)


def test_many_threads_get_what_each_gets_alone(thread: EngineThread, engine: Engine) -> None:
    boxes = {seed: Box() for seed in range(64)}
    begin = threading.Barrier(64)

    def ask(seed: int) -> None:
        begin.wait()
        thread.submit(request(seed, prompt=1 + seed), boxes[seed])

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in boxes]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    for seed, box in boxes.items():
        assert box.wait() == alone(request(seed, prompt=1 + seed))
    settle(thread)
    assert engine.free_pages == 32
    engine.check_integrity()


def test_requests_handed_in_together_run_together() -> None:
    backend = HashBackend(pages=64)
    thread = EngineThread(Engine(backend))
    boxes = [Box() for _ in range(8)]
    thread.submit_all([Ticket(request(seed), box) for seed, box in enumerate(boxes)])
    for seed, box in enumerate(boxes):
        assert box.wait() == alone(request(seed))
    thread.close()
    assert len(backend.batches[0].page_tables) == 8


def test_one_that_cannot_run_refuses_all_in_the_callers_thread(thread: EngineThread) -> None:
    boxes = [Box(), Box()]
    with pytest.raises(ParameterError, match="prompt = 99"):
        thread.submit_all([Ticket(request(1), boxes[0]), Ticket(Request((99,), 3), boxes[1])])
    with pytest.raises(ParameterError, match="max_tokens"):
        thread.submit(Request((1,), -1), Box())
    settle(thread)
    assert [box.calls for box in boxes] == [0, 0]


def test_a_refusal_of_the_moment_comes_as_an_event(thread: EngineThread, engine: Engine) -> None:
    class FullError(HonedError):
        pass

    def full(request: Request) -> int:
        raise FullError("the queue is full")

    engine.add = full  # type: ignore[method-assign]
    box = Box()
    thread.submit(request(1), box)
    box.wait()
    assert isinstance(box.end, Failed)
    assert isinstance(box.end.error, FullError)
    assert len(box.events) == 1


def test_an_abort_takes_effect_at_the_next_step() -> None:
    backend = Gate(pages=32)
    engine = Engine(backend)
    thread = EngineThread(engine)
    box = Box()
    ticket = thread.submit(request(1, prompt=40), box)
    backend.gate.release(2)
    for _ in range(3):
        assert backend.entered.acquire(timeout=60)
    thread.abort(ticket)
    thread.abort(ticket)
    backend.gate.release()
    assert len(box.wait()) == 3  # that of the step that was running is still told
    assert box.end == Finished(0, "abort")
    settle(thread)
    assert engine.free_pages == 32
    thread.close()


@pytest.mark.parametrize("pages", [32, 16])
def test_a_storm_of_aborts_leaves_nothing_behind(pages: int) -> None:
    engine = Engine(HashBackend(pages=pages))
    thread = EngineThread(engine)
    kept: list[tuple[int, Box]] = []

    def ask(number: int) -> None:
        draw = random.Random(number)
        for turn in range(25):
            seed, box = 100 * number + turn, Box()
            ticket = thread.submit(request(seed, tokens=30, prompt=1 + seed % 90), box)
            if draw.random() < 0.8:
                time.sleep(draw.random() * 0.003)
                thread.abort(ticket)
            else:
                kept.append((seed, box))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(kept) > 20
    for seed, box in kept:
        assert box.wait() == alone(request(seed, tokens=30, prompt=1 + seed % 90))
    settle(thread)
    assert engine.free_pages == pages
    engine.check_integrity()
    thread.close()


def test_a_step_that_fails_ends_its_requests_and_no_later_one(thread: EngineThread, backend: HashBackend) -> None:
    backend.fail_next = True
    boxes = [Box(), Box()]
    thread.submit_all([Ticket(request(1), boxes[0]), Ticket(request(2), boxes[1])])
    errors = []
    for box in boxes:
        box.wait()
        assert isinstance(box.end, Failed)
        errors.append(box.end.error)
        assert isinstance(box.end.error, EngineError)
        assert str(box.end.error).startswith("the model failed in the middle of a step (RuntimeError)")
        assert isinstance(box.end.error.__cause__, RuntimeError)
    assert errors[0] is not errors[1]  # each is raised in a thread of its own
    later = Box()
    thread.submit(request(3), later)
    assert later.wait() == alone(request(3))
    assert thread.alive


def test_an_expected_error_of_a_step_is_told_as_it_is(thread: EngineThread, backend: HashBackend) -> None:
    def refuse(batch: Any) -> Any:
        raise NativeError("run: the pool is gone")

    backend.forward = refuse  # type: ignore[method-assign]
    box = Box()
    thread.submit(request(1), box)
    box.wait()
    assert isinstance(box.end, Failed)
    assert type(box.end.error) is NativeError
    assert str(box.end.error) == "run: the pool is gone"


def test_a_backend_that_fails_again_ends_the_thread(engine: Engine, backend: HashBackend) -> None:
    def broken(batch: Any) -> Any:
        raise RuntimeError("gone")

    backend.forward = broken  # type: ignore[method-assign]
    thread = EngineThread(engine)
    for _ in range(2):
        box = Box()
        thread.submit(request(1), box)
        box.wait()
        assert isinstance(box.end, Failed)
    until = time.monotonic() + 30
    while thread.alive:
        assert time.monotonic() < until
        time.sleep(0.001)
    with pytest.raises(EngineError, match="failed in the middle of a step"):
        thread.submit(request(1), Box())
    thread.close()


def test_a_sink_that_raises_ends_its_own_request(
    thread: EngineThread, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(events: list[Event]) -> None:
        raise ValueError("a reader's fault")

    box = Box()
    thread.submit_all([Ticket(request(1, tokens=400), broken), Ticket(request(2), box)])
    assert box.wait() == alone(request(2))
    settle(thread)
    assert engine.free_pages == 32
    assert "a reader's fault" in capsys.readouterr().err


def test_a_reader_that_is_gone_ends_its_request_without_a_word(
    thread: EngineThread, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = 0

    def gone(events: list[Event]) -> None:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise ReaderGone

    thread.submit(request(1, tokens=400), gone)
    box = Box()
    thread.submit(request(2), box)
    assert box.wait() == alone(request(2))
    settle(thread)
    assert engine.free_pages == 32
    assert calls == 2
    assert capsys.readouterr().err == ""


def test_one_call_after_the_sinks_of_a_step(thread: EngineThread) -> None:
    order: list[str] = []

    def after() -> None:
        order.append("after")

    def sink(events: list[Event]) -> None:
        order.append("sink")

    last = Box()
    thread.submit_all([Ticket(request(seed, tokens=3), sink, after) for seed in range(3)])
    thread.submit(request(9, tokens=30), last)
    last.wait()
    assert order == ["sink", "sink", "sink", "after"] * 4


def test_closing_aborts_and_draining_finishes(backend: HashBackend) -> None:
    gate = Gate(pages=32)
    for drain, reason in ((False, "abort"), (True, "length")):
        thread = EngineThread(Engine(gate))
        box = Box()
        thread.submit(request(1), box)
        assert gate.entered.acquire(timeout=60)
        closing = threading.Thread(target=thread.close, kwargs={"drain": drain})
        closing.start()
        while thread._worker.waits_for_nothing and not thread._worker.closing:
            time.sleep(0.001)
        gate.gate.release(40)
        closing.join(60)
        assert not closing.is_alive()
        box.wait()
        assert box.end == Finished(0, reason)  # type: ignore[arg-type]
        assert not thread.alive
        with pytest.raises(EngineError, match="closed"):
            thread.submit(request(2), Box())
        thread.close()
        gate.gate, gate.entered = threading.Semaphore(0), threading.Semaphore(0)


def test_one_that_comes_while_it_drains_is_refused() -> None:
    gate = Gate(pages=32)
    thread = EngineThread(Engine(gate))
    first = Box()
    thread.submit(request(1), first)
    assert gate.entered.acquire(timeout=60)
    closing = threading.Thread(target=thread.close, kwargs={"drain": True})
    closing.start()
    gate.gate.release(1)
    until = time.monotonic() + 30
    while thread.alive:
        assert time.monotonic() < until
        time.sleep(0.001)
    with pytest.raises(EngineError, match="closed"):
        thread.submit(request(2), Box())
    gate.gate.release(40)
    closing.join(60)
    assert first.wait() == alone(request(1))


def test_many_that_come_while_it_closes_all_get_an_answer() -> None:
    for _ in range(20):
        thread = EngineThread(Engine(HashBackend()))
        boxes: list[Box] = []

        def ask(thread: EngineThread = thread, boxes: list[Box] = boxes) -> None:
            while True:
                box = Box()
                try:
                    thread.submit(request(1, tokens=2), box)
                except EngineError:
                    return
                boxes.append(box)

        asking = [threading.Thread(target=ask) for _ in range(4)]
        for one in asking:
            one.start()
        time.sleep(0.002)
        thread.close()
        for one in asking:
            one.join(60)
        for box in boxes:
            box.wait()


def test_without_an_owner_the_thread_ends_and_lets_the_engine_go() -> None:
    backend = HashBackend()
    gone = weakref.ref(backend)
    thread = EngineThread(Engine(backend))
    box = Box()
    thread.submit(request(1), box)
    box.wait()
    running = next(one for one in threading.enumerate() if one.name == "honed-engine")
    del thread, backend
    gc.collect()
    running.join(30)
    assert not running.is_alive()
    gc.collect()
    assert gone() is None


def test_statistics_are_those_of_a_moment_ago(thread: EngineThread, engine: Engine) -> None:
    box = Box()
    thread.submit(request(1), box)
    box.wait()
    settle(thread)
    told = thread.statistics()
    assert told is not None and (told.free_pages, told.running) == (32, 0)


PROGRAM = """
import os, sys, threading
sys.path[:0] = {paths!r}
from hash_backend import HashBackend
from honed.runtime.engine import Engine
from honed.runtime.engine_thread import EngineThread
from honed.runtime.request import Request
begun = threading.Event()
thread = EngineThread(Engine(HashBackend(context=2000, pages=64)))
ticket = thread.submit(Request((1, 2), 1900), lambda events: begun.set())
begun.wait()
"""


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        ("print('left')", "left\n"),
        ("child = os.fork()\nif not child:\n thread.abort(ticket)\n thread.close()\n sys.exit(0)\n"
         "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), thread.alive)", "0 True\n"),
    ],
    ids=["exit", "fork"],
)  # fmt: skip
def test_a_process_ends_while_a_request_runs(rest: str, told: str) -> None:
    program = PROGRAM.format(paths=sys.path) + rest
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.returncode) == (told, 0), done.stderr


def test_an_idle_thread_costs_nothing(thread: EngineThread) -> None:
    box = Box()
    thread.submit(request(1), box)
    box.wait()
    settle(thread)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.1
