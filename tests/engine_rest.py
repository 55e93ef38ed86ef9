"""Waiting for the thread of an engine."""

from __future__ import annotations

import time

from honed.runtime.engine_thread import EngineThread


def settle(thread: EngineThread) -> None:
    """Until it has nothing left to do."""
    until = time.monotonic() + 30
    while not thread.idle:
        assert time.monotonic() < until, "the engine does not come to rest"
        time.sleep(0.001)
