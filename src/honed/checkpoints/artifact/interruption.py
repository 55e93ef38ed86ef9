"""Signals while something is staged: they end the work where that is harmless, and never the tidying up.

Ctrl-C, SIGTERM and SIGHUP wait, but for the parts that are marked by `allowed`. There they do what they did before,
once: their handler is called, which raises; where the system's own action stands, an exception is raised in its place,
and the process ends by the signal after it is caught here. Impatient ones that follow wait too, until everything is
tidied up. Signals that are ignored stay so. Only the main thread can do this; on others nothing is changed.

Blocking signals would not do: Python's own handler runs on the main thread whichever thread of the process got one.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_ON_ITS_WAY_S = 5.0
"""How long the exception of a first signal may take to be noticed. Where it was swallowed, a later signal counts."""


class _Ended(BaseException):
    """A signal whose action is the system's own: the end of the process."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Interruptions:
    """See the head of the file. Made by `interruptible`."""

    def __init__(self) -> None:
        self._previous: dict[int, Any] = {}
        self._raised: float | None = None
        self._waiting: int | None = None
        self._allowed = False

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Where a signal may end the work, one that waited already included."""
        try:
            self._allowed = True
            if self._waiting is not None:
                self._receive(self._waiting, None)
            yield
        finally:
            self._allowed = False

    def _begin(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            previous = signal.getsignal(number)
            if previous not in (None, signal.SIG_IGN):
                self._previous[number] = previous
                signal.signal(number, self._receive)

    def _end(self) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())

    def _receive(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self._allowed or (self._raised is not None and now - self._raised < _ON_ITS_WAY_S):
            self._waiting = number
            return
        self._raised, self._waiting = now, None
        previous = self._previous.get(number, signal.SIG_DFL)
        if previous is signal.SIG_DFL:
            raise _Ended(number)
        previous(number, frame)
        self._raised = None  # its handler returned: nothing was interrupted

    def _deliver(self) -> None:
        """What waited although nothing was interrupted comes now."""
        if self._waiting is not None and self._raised is None:
            os.kill(os.getpid(), self._waiting)


@contextmanager
def interruptible() -> Iterator[Interruptions]:
    """Signals are as the head of the file says until the end of the block."""
    found = Interruptions()
    try:
        found._begin()
        yield found
    except _Ended as ended:
        found._end()
        os.kill(os.getpid(), ended.number)
        raise  # not reached: the action is the system's own, and ends the process
    finally:
        found._end()
        found._deliver()
