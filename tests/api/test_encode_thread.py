"""Calls of an encoder that come at once, run together."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import CancelledError
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.api.encode_thread import EncodeThread
from honed.backends.encoder import Output, TextBatch
from honed.errors import HonedError
from honed.text.encoder_input import EncoderInput
from known_rows import KnownRows


class Gate(KnownRows):
    """Runs a step when it is let; fails on a token."""

    def __init__(self, *, poison: int = -1) -> None:
        super().__init__()
        self.gate = threading.Semaphore(0)
        self.entered = threading.Semaphore(0)
        self.poison = poison

    def encode(self, batch: TextBatch, output: Output) -> Any:
        self.entered.release()
        assert self.gate.acquire(timeout=60)
        if self.poison in batch.tokens:
            raise ValueError("this text breaks it")
        return super().encode(batch, output)


def texts(*lengths: int, first: int = 4) -> list[EncoderInput]:
    return [EncoderInput.of_tokens([first + i] * length) for i, length in enumerate(lengths)]


def rows_alone(inputs: list[EncoderInput], output: Output) -> Any:
    thread = EncodeThread(KnownRows(), "closed")
    try:
        return thread.submit(inputs, output).result(60)
    finally:
        thread.close()


def queued(backend: Gate) -> EncodeThread:
    """One that is inside of a step, so that what comes now waits."""
    thread = EncodeThread(backend, "it was closed")
    thread.submit(texts(1), "mean")
    assert backend.entered.acquire(timeout=60)
    return thread


def test_rows_of_tokens_are_those_that_are_kept() -> None:
    class Tokens(KnownRows):
        def encode(self, batch: TextBatch, output: Output) -> Any:
            chosen = np.stack([batch.tokens, np.arange(len(batch.tokens))], axis=1).astype(np.float32)
            if output == "vocabulary":
                assert batch.selected is not None and (np.diff(batch.selected) > 0).all()
                return chosen[batch.selected]
            return chosen

    for output in ("tags", "vocabulary"):
        thread = EncodeThread(Tokens(), "closed")
        found = thread.submit_rows(texts(3, 5, 1), output, [[0, 2], None, []]).result(60)
        assert [rows[:, 0].tolist() for rows in found] == [[4, 4], [5] * 5, []]
        assert np.diff(found[0][:, 1]) == [2] and np.diff(found[1][:, 1]).tolist() == [1] * 4
        assert thread.submit_rows([], output, []).result(60) == []
        thread.close()


def test_what_waits_together_runs_together() -> None:
    backend = Gate()
    thread = queued(backend)
    asked = [texts(3, 5), texts(2), texts(4)]
    futures = [thread.submit(inputs, "mean") for inputs in asked]
    backend.gate.release(99)
    for inputs, future in zip(asked, futures, strict=True):
        np.testing.assert_array_equal(future.result(60), rows_alone(inputs, "mean"))
    assert [batch.lengths.tolist() for batch in backend.batches] == [[1], [5, 4, 3, 2]]
    thread.close()


def test_outputs_do_not_mix() -> None:
    backend = Gate()
    thread = queued(backend)
    outputs: list[Output] = ["mean", "first", "mean", "last"]
    futures = [thread.submit(texts(3), output) for output in outputs]
    backend.gate.release(99)
    for output, future in zip(outputs, futures, strict=True):
        np.testing.assert_array_equal(future.result(60), rows_alone(texts(3), output))
    assert len(backend.batches) == 4
    thread.close()


def test_a_short_call_does_not_wait_for_the_whole_of_a_long_one() -> None:
    backend = Gate()
    thread = queued(backend)
    long = thread.submit(texts(*[10] * 20), "mean")  # two fit into a step
    short = thread.submit(texts(10), "mean")
    backend.gate.release(2)
    assert short.result(60).shape == (1, 3)
    assert not long.done()
    backend.gate.release(99)
    assert long.result(60).shape == (20, 3)
    thread.close()


def test_a_fault_of_one_text_ends_its_call_alone() -> None:
    backend = Gate(poison=4)
    thread = EncodeThread(backend, "closed")
    first = thread.submit(texts(1, first=8), "mean")
    assert backend.entered.acquire(timeout=60)
    bad, good = thread.submit(texts(2, 3), "mean"), thread.submit(texts(2, 3, first=9), "mean")
    backend.gate.release(99)
    assert first.result(60).shape == (1, 3)
    with pytest.raises(ValueError, match="this text breaks it"):
        bad.result(60)
    np.testing.assert_array_equal(good.result(60), rows_alone(texts(2, 3, first=9), "mean"))
    alone = thread.submit(texts(1), "mean")
    with pytest.raises(ValueError, match="this text breaks it"):
        alone.result(60)
    thread.close()


def test_what_is_cancelled_does_not_run() -> None:
    backend = Gate()
    thread = queued(backend)
    dropped, kept = thread.submit(texts(*[10] * 9), "mean"), thread.submit(texts(3), "mean")
    assert dropped.cancel()
    backend.gate.release(99)
    assert kept.result(60).shape == (1, 3)
    with pytest.raises(CancelledError):
        dropped.result(60)
    assert sum(len(batch.lengths) for batch in backend.batches) == 2
    thread.close()


def test_none_is_no_rows() -> None:
    assert rows_alone([], "mean").shape == (0, 3)


def test_closing_ends_what_waits() -> None:
    backend = Gate()
    thread = queued(backend)
    waiting = thread.submit(texts(3), "mean")
    closing = threading.Thread(target=thread.close)
    closing.start()
    time.sleep(0.01)
    backend.gate.release(99)
    closing.join(60)
    for future in (waiting, thread.submit(texts(1), "mean")):
        with pytest.raises(HonedError, match="it was closed"):
            future.result(60)
    thread.close()


def test_closing_before_the_first_call() -> None:
    thread = EncodeThread(KnownRows(), "it was closed")
    thread.close()
    with pytest.raises(HonedError, match="it was closed"):
        thread.submit(texts(1), "mean").result(60)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(1, 12), max_size=12), min_size=1, max_size=8), st.integers(0, 9))
def test_any_calls_get_their_own_rows_in_their_order(calls: list[list[int]], seed: int) -> None:
    thread = EncodeThread(KnownRows(), "closed")
    draw = random.Random(seed)
    outputs: list[Output] = ["mean", "first", "last"]
    asked = [(texts(*lengths), draw.choice(outputs)) for lengths in calls]
    futures = [thread.submit(inputs, output) for inputs, output in asked]
    for (inputs, output), future in zip(asked, futures, strict=True):
        np.testing.assert_array_equal(future.result(60), rows_alone(inputs, output))
    thread.close()
