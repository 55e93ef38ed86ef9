"""Renames that replace nothing by mistake: into a free name, and two directories that change places in one step.

`renameat2` of Linux does both (https://man7.org/linux/man-pages/man2/rename.2.html); it is called through ctypes, as
Python has no name for it. Where kernel or file system have it not, the caller is told, or the free name is looked at
first. Not here: what is renamed, and what happens in between (`staging.py`).
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

_NOREPLACE, _EXCHANGE = 1, 2
_AT_FDCWD = -100
_MISSING = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)


class ExchangeError(OSError):
    """Kernel, C library or file system cannot exchange two names."""


def rename_into_free(source: Path, target: Path) -> None:
    """Renames to a name that nothing has. FileExistsError if something has it."""
    try:
        _renameat2(source, target, _NOREPLACE)
    except ExchangeError:
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        source.rename(target)  # of a directory: onto an empty directory at most, if one was made just now


def exchange(one: Path, other: Path) -> None:
    """The two change names; at every instant both names have one of them. ExchangeError where that cannot be."""
    _renameat2(one, other, _EXCHANGE)


def _renameat2(source: Path, target: Path, flags: int) -> None:
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        raise ExchangeError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    function.restype = ctypes.c_int
    if function(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags) != 0:
        number = ctypes.get_errno()
        if number in _MISSING:
            raise ExchangeError(number, os.strerror(number))
        raise OSError(number, os.strerror(number), str(target))
