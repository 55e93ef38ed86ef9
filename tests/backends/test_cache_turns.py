from __future__ import annotations

import gc

from hash_backend import HashBackend
from honed.backends.cache_turns import _LAST, take_turn


class User:
    """Somebody."""


def test_a_user_is_told_that_another_came_between() -> None:
    backend, other, first, second = HashBackend(), HashBackend(), User(), User()
    assert not take_turn(backend, first)
    assert take_turn(backend, first)
    assert not take_turn(other, second)
    assert take_turn(backend, first)
    assert not take_turn(backend, second)
    assert not take_turn(backend, first)


def test_neither_backend_nor_user_is_kept() -> None:
    backend, user = HashBackend(), User()
    take_turn(backend, user)
    last = _LAST[backend]
    del user
    gc.collect()
    assert last() is None
    kept = len(_LAST)
    del backend
    gc.collect()
    assert len(_LAST) < kept
