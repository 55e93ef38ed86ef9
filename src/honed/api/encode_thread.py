"""The one thread that owns an encoder: what several callers ask for at once runs together.

Not here: tokens of texts, which are made in the callers' threads, and what becomes of rows (`tasks/embeddings.py`).
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.backends.encoder import EncoderBackend, Output, TextBatch
from honed.errors import HonedError
from honed.runtime.owned_thread import OwnedThread
from honed.tasks.embeddings import batch_of
from honed.text.encoder_input import EncoderInput

Rows = NDArray[np.float32]
Kept = Sequence[int] | None
"""Places of the tokens of a text whose rows are wanted, in their order; None: all of them."""
_BY_TOKEN: tuple[Output, ...] = ("hidden", "tags", "vocabulary")


class EncodeThread:
    """Runs an encoder, which nobody else may use from then on.

    A step takes texts of all callers in turn, so that a short call never waits for the whole of a long one; which ones
    are together changes no bit of a row. It belongs to the process that made it.
    """

    def __init__(self, backend: EncoderBackend, closed: str) -> None:
        """closed: what calls are told once it is."""
        self._worker = _Worker(backend, closed)
        self._starting = threading.Lock()
        self._thread: OwnedThread | None = None
        self._process = os.getpid()

    def submit(self, inputs: Sequence[EncoderInput], output: Output) -> Future[Rows]:
        """Rows [n, width] of texts, in their order: mean, first, last, pooler or classes. Cancelling drops what has not
        run.

        Errors come from the future: those of the backend, and HonedError after close.
        """
        future: Future[Rows] = Future()
        self._put(_Job(inputs, output, [None] * len(inputs), future, _stacked))
        return future

    def submit_rows(self, inputs: Sequence[EncoderInput], output: Output, kept: Sequence[Kept]) -> Future[list[Rows]]:
        """For each text the row of an output with one a text, or, of one with a row a token, those that are kept of it:
        [kept, columns]. Otherwise as `submit`."""
        future: Future[list[Rows]] = Future()
        self._put(_Job(inputs, output, kept, future, _listed))
        return future

    def _put(self, job: _Job) -> None:
        with self._starting:
            if self._thread is None and self._worker.open:
                worker = self._worker
                self._thread = OwnedThread(self, worker.run, worker.stop, "honed-encoder")
        self._worker.put(job)

    def close(self) -> None:
        """Ends what is asked for, after the step that is running. Closing twice does no harm."""
        if os.getpid() != self._process:
            return
        with self._starting:
            self._worker.stop()
            thread = self._thread
            if thread is None:
                self._worker.run()
        if thread is not None:
            thread.join()


class _Job:
    def __init__(
        self,
        inputs: Sequence[EncoderInput],
        output: Output,
        kept: Sequence[Kept],
        future: Future[Any],
        result: Callable[[list[Rows], int], Any],
    ) -> None:
        self.inputs = inputs
        self.output = output
        self.kept = kept
        self.future = future
        self.result = result
        self.rest = deque(sorted(range(len(inputs)), key=lambda index: -len(inputs[index].tokens)))
        """Texts that were not run yet, longest first."""
        self.rows: list[Rows] = [_NONE] * len(inputs)

    @property
    def next_tokens(self) -> int:
        return len(self.inputs[self.rest[0]].tokens)


_NONE: Rows = np.empty(0, dtype=np.float32)
_Chosen = list[tuple[_Job, int]]


class _Worker:
    """What the thread runs."""

    def __init__(self, backend: EncoderBackend, closed: str) -> None:
        self.open = True
        self._backend: EncoderBackend | None = backend
        self._closed = closed
        self._commands: SimpleQueue[_Job | None] = SimpleQueue()
        self._jobs: deque[_Job] = deque()
        self._ended = False

    def put(self, job: _Job) -> None:
        self._commands.put(job)
        if self._ended:  # perhaps before it was there: nobody else answers it
            self._refuse_rest()

    def stop(self) -> None:
        self._commands.put(None)

    def run(self) -> None:
        try:
            while self._receive():
                self._step()
        finally:
            self.open = False
            self._ended = True
            for job in self._jobs:
                _fail(job, HonedError(self._closed))
            self._jobs.clear()
            self._refuse_rest()
            self._backend = None

    def _receive(self) -> bool:
        """Takes what has come, and waits where there is nothing else to do; whether to go on."""
        while not self._jobs or not self._commands.empty():
            job = self._commands.get()
            if job is None:
                return False
            assert self._backend is not None
            if job.inputs:
                self._jobs.append(job)
            else:
                self._finish(job)
        return True

    def _step(self) -> None:
        chosen = self._choose()
        if not chosen:
            return
        try:
            self._run(chosen)
        except Exception as error:
            jobs = list(dict.fromkeys(job for job, _ in chosen))
            for job in jobs:
                # Whose fault it is shows alone.
                self._run_alone(job, [one for one in chosen if one[0] is job] if len(jobs) > 1 else None, error)
        for job in dict.fromkeys(job for job, _ in chosen):
            if not job.rest and job in self._jobs:
                self._jobs.remove(job)
                self._finish(job)
        self._jobs.rotate(-1)

    def _choose(self) -> _Chosen:
        """Texts of one step: one of each call in turn, as long as there is room, of those that want the same output as
        the first."""
        while self._jobs and self._jobs[0].future.cancelled():
            self._jobs.popleft()
        chosen: _Chosen = []
        if not self._jobs:
            return chosen
        assert self._backend is not None
        room = self._backend.step_tokens
        output = self._jobs[0].output
        turns = deque(job for job in self._jobs if job.output == output and not job.future.cancelled())
        while turns:
            job = turns.popleft()
            if chosen and job.next_tokens > room:
                continue
            room -= job.next_tokens
            chosen.append((job, job.rest.popleft()))
            if job.rest:
                turns.append(job)
        chosen.sort(key=lambda one: -len(one[0].inputs[one[1]].tokens))
        return chosen

    def _run(self, chosen: _Chosen) -> None:
        assert self._backend is not None
        batch = batch_of([job.inputs[index] for job, index in chosen])
        output = chosen[0][0].output
        if output in _BY_TOKEN:
            found = _rows_of(self._backend, batch, output, [job.kept[index] for job, index in chosen])
        else:
            found = list(self._backend.encode(batch, output))
        for (job, index), rows in zip(chosen, found, strict=True):
            job.rows[index] = rows

    def _finish(self, job: _Job) -> None:
        assert self._backend is not None
        if job.future.set_running_or_notify_cancel():
            job.future.set_result(job.result(job.rows, self._backend.width))

    def _run_alone(self, job: _Job, chosen: _Chosen | None, error: Exception) -> None:
        """Again without the texts of others; None: there were none, and this is what came of it."""
        if chosen is not None:
            try:
                self._run(chosen)
                return
            except Exception as own:
                error = own
        self._jobs.remove(job)
        _fail(job, error)

    def _refuse_rest(self) -> None:
        while True:
            try:
                job = self._commands.get(block=False)
            except Empty:
                return
            if job is not None:
                _fail(job, HonedError(self._closed))


def _rows_of(backend: EncoderBackend, batch: TextBatch, output: Output, kept: Sequence[Kept]) -> list[Rows]:
    """Of an output with a row a token, those that are kept of each text. Of a vocabulary, which is wide, no others are
    computed."""
    lengths = batch.lengths.tolist()
    starts = np.cumsum([0, *lengths[:-1]])
    places = [
        np.arange(length) if few is None else np.array(few, dtype=np.int64)
        for length, few in zip(lengths, kept, strict=True)
    ]
    chosen = np.concatenate([place + start for place, start in zip(places, starts, strict=True)])
    if output == "vocabulary":
        rows = backend.encode(replace(batch, selected=chosen.astype(np.int32)), output)
    else:
        rows = backend.encode(batch, output)[chosen]
    return np.split(rows, np.cumsum([len(place) for place in places])[:-1])


def _stacked(rows: list[Rows], width: int) -> Rows:
    return np.stack(rows) if rows else np.empty((0, width), dtype=np.float32)


def _listed(rows: list[Rows], _: int) -> list[Rows]:
    return rows


def _fail(job: _Job, error: Exception) -> None:
    if job.future.set_running_or_notify_cancel():
        job.future.set_exception(error)
