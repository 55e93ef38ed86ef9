"""Runs a task over many things that are given: a window of them at a time, the next one made tokens while the last one
runs, results in the order of what was given.

Not here: the tasks (`tasks/`), and the thread that owns the encoder (`api/encode_thread.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from honed.api.encode_thread import EncodeThread
from honed.errors import ParameterError, UnsupportedError
from honed.notes import note
from honed.records import dataclass
from honed.tasks.embeddings import WINDOW
from honed.tasks.task import EncoderTask
from honed.text.encoder_input import EncoderInput

Given = TypeVar("Given")
Result = TypeVar("Result")
Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Limits:
    """Of a model: its name, the tokens of an input and the types of tokens (0: it looks at none)."""

    name: str
    tokens: int
    types: int


@dataclass(frozen=True)
class _Window:
    """What is given, the inputs that each became, and the rows to come of all of them."""

    given: Sequence[Any]
    inputs: Sequence[Sequence[EncoderInput]]
    rows: Future[list[Rows]]


class TaskRunner:
    """Of one encoder. Safe for several threads at once."""

    def __init__(self, thread: Callable[[], EncodeThread], limits: Limits) -> None:
        """thread: asked for at each window, so that a model that was closed meanwhile says so."""
        self._thread = thread
        self._limits = limits
        self._told = False

    def run(self, task: EncoderTask[Given, Result], given: Iterable[Given]) -> Iterator[Result]:
        """A result for each, as they are asked for; what is given is read a window ahead. Errors: those of the task and
        of the backend."""
        rest = iter(given)
        last: _Window | None = None
        while window := list(islice(rest, WINDOW)):
            try:
                submitted = self._submitted(task, window, tell=True)
            except BaseException:
                if last is not None:
                    last.rows.cancel()
                raise
            if last is not None:
                yield from _results(task, last, _awaited(last.rows))
            last = submitted
        if last is not None:
            yield from _results(task, last, _awaited(last.rows))

    async def run_async(
        self, task: EncoderTask[Given, Result], given: Sequence[Given], place: str | None = None
    ) -> tuple[list[Result], int]:
        """The results, and the tokens of all inputs. Tokens are made and results are told in threads; cancelling drops
        what has not run yet. place: the name of what is given, where one that is too long is refused; None: it is
        cut, and nobody is told."""
        found: list[Result] = []
        tokens = 0
        for start in range(0, len(given), WINDOW):
            window = await asyncio.to_thread(self._submitted, task, given[start : start + WINDOW], place)
            rows = await asyncio.wrap_future(window.rows)
            found += await asyncio.to_thread(_all_results, task, window, rows)
            tokens += sum(len(one.tokens) for inputs in window.inputs for one in inputs)
        return found, tokens

    def _submitted(
        self, task: EncoderTask[Given, Any], given: Sequence[Given], place: str | None = None, *, tell: bool = False
    ) -> _Window:
        thread = self._thread()
        inputs = [task.inputs(one) for one in given]
        flat = [one for own in inputs for one in own]
        for one in flat:
            self._check(one)
            if place is not None and one.dropped:
                raise self._too_long(place, len(one.tokens) + one.dropped)
        if tell:
            self._tell_of_cuts(flat)
        return _Window(given, inputs, thread.submit_rows(flat, task.output, [task.kept(one) for one in flat]))

    def _check(self, one: EncoderInput) -> None:
        limits = self._limits
        if not one.tokens:
            raise ParameterError("text", "", "holds no token")
        if limits.types and max(one.types, default=0) >= limits.types:
            raise UnsupportedError(
                f"{limits.name}: its tokenizer gives a pair of texts {max(one.types) + 1} types of tokens, and the "
                f"model has {limits.types}"
            )

    def _too_long(self, place: str, tokens: int) -> ParameterError:
        most = self._limits.tokens
        return ParameterError(
            place, f"{tokens} tokens", f"must have at most {most}, which is what the model takes; shorten it"
        )

    def _tell_of_cuts(self, inputs: Sequence[EncoderInput]) -> None:
        cut = sum(1 for one in inputs if one.dropped)
        if cut and not self._told:
            self._told = True
            note(
                f"{self._limits.name}: {cut} of {len(inputs)} texts are longer than {self._limits.tokens} tokens and "
                "are cut there"
            )


def _all_results(task: EncoderTask[Any, Result], window: _Window, rows: Sequence[Rows]) -> list[Result]:
    return list(_results(task, window, rows))


def _results(task: EncoderTask[Any, Result], window: _Window, rows: Sequence[Rows]) -> Iterator[Result]:
    start = 0
    for given, inputs in zip(window.given, window.inputs, strict=True):
        yield task.result(given, inputs, rows[start : start + len(inputs)])
        start += len(inputs)


def _awaited(future: Future[list[Rows]]) -> list[Rows]:
    """Waits for it; who is interrupted does not want it any more."""
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise
