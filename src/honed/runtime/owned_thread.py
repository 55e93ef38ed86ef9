"""A thread that does not outlive who owns it. Not here: what it does."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Callable
from functools import partial

_EXIT_SECONDS = 10.0
"""So long the end of the process waits for what is running."""


class OwnedThread:
    """Runs a function that ends soon after another one, `stop`, was called: when the process ends, or when nobody holds
    the owner any more. A thread that is inside of the extension when the interpreter ends would take the process down.
    """

    def __init__(self, owner: object, run: Callable[[], None], stop: Callable[[], None], name: str) -> None:
        """Starts it. Neither function may hold the owner. stop: called at any point of any thread, so it must not take
        a lock."""
        process = os.getpid()
        self._thread = threading.Thread(target=self._run, args=(run,), name=name, daemon=True)
        self._at_exit = partial(_end, process, stop, self._thread)
        atexit.register(self._at_exit)
        # Not waited for: a finalizer runs in any thread, this one too.
        weakref.finalize(owner, _end, process, stop, None).atexit = False
        self._thread.start()

    def join(self) -> None:
        """Waits for its end, unless this is called in it."""
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self, run: Callable[[], None]) -> None:
        try:
            run()
        finally:
            atexit.unregister(self._at_exit)


def _end(process: int, stop: Callable[[], None], thread: threading.Thread | None) -> None:
    if os.getpid() != process:
        return  # a copy that was forked, in which there is no such thread
    stop()
    if thread is not None and thread.ident is not None:  # an interruption may come before it is started
        thread.join(_EXIT_SECONDS)
