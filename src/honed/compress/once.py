"""A value that is found when it is first asked for, whichever thread asks, and kept.

Not `functools.cached_property`: before Python 3.12 that has one lock for all instances of a class. Weights of one pass
are made of those of another, and packed by several threads: one that waits for its turn to make the second would hold
up the one that holds the lock of the first and waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """Calls `find` at the first call, and gives what that gave ever after. It is called again after an error."""

    def __init__(self, find: Callable[[], T]) -> None:
        self._find = find
        self._found: list[T] = []
        self._lock = RLock()

    def __call__(self) -> T:
        with self._lock:
            if not self._found:
                self._found.append(self._find())
            return self._found[0]
