"""What Ctrl-C (SIGINT), SIGTERM and SIGHUP do to a command: it ends with 130, 143 or 129, and never with a traceback.

Before a verb begins nothing needs cleaning up, and a signal ends the process where it stands. While a verb runs it is
raised, as KeyboardInterrupt or `Terminated`, so that context managers and finally blocks undo what is half done. Once
a verb has ended, the process goes at once, with the code that it had anyway.

Not while a module is being imported: libraries make other errors of what is raised there, or lose it. It is raised as
soon as the import is over. Signals that were ignored when the process began (nohup, a job in the background) stay so.
"""

from __future__ import annotations

# Not `signal`: the enumerations that it makes are a good part of the first milliseconds, in which nothing is watched.
import _signal  # type: ignore[import-not-found]
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

SIGHUP, SIGINT, SIGALRM, SIGTERM = 1, 2, 14, 15
_SAID = {SIGINT: "interrupted", SIGTERM: "ended by SIGTERM", SIGHUP: "ended by SIGHUP, the terminal is gone"}
_AGAIN_S = 0.01
"""Until a signal is tried again that came while something was imported."""
_CLEANING_S = 1.0
"""For so long after it was raised no further signal breaks into what is being cleaned up."""


def exit_code(number: int) -> int:
    """Of a process that a signal has ended, as shells count."""
    return 128 + number


def said(error: BaseException) -> str:
    """The words for an interruption: KeyboardInterrupt or Terminated."""
    return _SAID[getattr(error, "number", SIGINT)]


class Signals:
    """The three times of a command. `install` begins the first, `raised` the second, `over` the third."""

    def __init__(self) -> None:
        self._raises = False
        self._code: int | None = None
        self._last = -_CLEANING_S
        self._waits = False
        self._repeats = False

    def install(self) -> None:
        """From now on a signal ends the process with one line."""
        for number in (SIGINT, SIGTERM, SIGHUP):
            if _signal.getsignal(number) != _signal.SIG_IGN:
                _signal.signal(number, self._handle)

    def raised(self) -> None:
        """From now on a signal is raised."""
        self._raises = True

    def over(self, code: int) -> None:
        """From now on a signal ends the process with this code and says nothing."""
        self._raises = False
        self._code = code
        # The interpreter, on its way out, would let Ctrl-C kill it after all, and so would the alarm of one that waits.
        _signal.signal(SIGINT, _signal.SIG_IGN)
        if self._waits:
            _signal.setitimer(_signal.ITIMER_REAL, 0)
            _signal.signal(SIGALRM, _signal.SIG_IGN)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self._raises:
            _end(number, self._code)
        if time.monotonic() - self._last < _CLEANING_S:
            return
        # A second one, which is not our own repetition of the first, does not wait for an import to end.
        if _imports(frame) and (self._repeats or not self._waits):
            self._waits = True
            self._try_again(number)
            return
        self._raise(number)

    def _raise(self, number: int) -> None:
        from honed.errors import Terminated  # there by now; it was not when this module was imported

        self._waits = False
        self._last = time.monotonic()
        previous = sys.unraisablehook

        def lost(unraisable: sys.UnraisableHookArgs) -> None:
            # Raised in a finalizer, from where it goes nowhere.
            if unraisable.exc_type in (KeyboardInterrupt, Terminated):
                if not self._raises:
                    return
                self._last = -_CLEANING_S
                self._waits = True
                self._try_again(number)
            else:
                previous(unraisable)

        sys.unraisablehook = lost
        raise KeyboardInterrupt if number == SIGINT else Terminated(number)

    def _try_again(self, number: int) -> None:
        def send(_: int, frame: FrameType | None) -> None:
            # Sent anew and not handled here: a verb may have put a handler of its own before ours meanwhile.
            self._repeats = True
            try:
                _signal.raise_signal(number)
                _run_handlers()
            finally:
                self._repeats = False

        _signal.signal(SIGALRM, send)
        _signal.setitimer(_signal.ITIMER_REAL, _AGAIN_S)


def _run_handlers() -> None:
    """Handlers run between the steps of the interpreter: here is one."""


def _end(number: int, code: int | None) -> None:
    if code is None:
        _tell(f"honed: {_SAID[number]}\n")
    os._exit(exit_code(number) if code is None else code)


def _tell(text: str) -> None:
    try:
        os.write(2, text.encode())
    except OSError:  # nobody hears it
        return


def _imports(frame: FrameType | None) -> bool:
    """Whether this frame runs on behalf of an import statement."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
