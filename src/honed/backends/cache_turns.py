"""Who used the KV cache of a backend last, where several do in turn. Not here: anything that keeps them from doing so
at once, which the caller sees to."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, ref

if TYPE_CHECKING:
    from honed.backends.base import Backend

_LAST: WeakKeyDictionary[Backend, ref[object]] = WeakKeyDictionary()


def take_turn(backend: Backend, user: object) -> bool:
    """Says that `user` is about to run batches. Whether nobody else did since it said so last: what it wrote to the
    pages is then still there. False the first time."""
    last = _LAST.get(backend)
    if last is not None and last() is user:
        return True
    _LAST[backend] = ref(user)
    return False
