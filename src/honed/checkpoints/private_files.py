"""Small files of this user alone, kept between starts and believed at the next one.

What another user could have written is not believed: file and directory must belong to this user (or root) and be
writable by nobody else; links are not followed, and a fifo or device is not waited for. Directories are made with mode
0700, files with 0600. What is kept in them is no matter of this file.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def private_directory(path: Path) -> bool:
    """Makes a directory, if it is not there, and takes the right to write from others. False where it is not ours."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.stat()
    if found.st_uid == os.geteuid() and found.st_mode & _OTHERS_WRITE:
        path.chmod(0o700)
        found = path.stat()
    return _is_private(found)


def open_private(path: Path) -> int | None:
    """A descriptor to read a file that only this user can have written. None if there is none, or none to believe."""
    try:
        if not _is_private(path.parent.stat()):
            return None
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ValueError):
        return None
    found = os.fstat(handle)
    if stat.S_ISREG(found.st_mode) and _is_private(found):
        return handle
    os.close(handle)
    return None


def read_private(path: Path, limit: int = 4096) -> bytes | None:
    """The bytes of such a file, at most `limit`."""
    handle = open_private(path)
    if handle is None:
        return None
    try:
        return os.read(handle, limit)
    except OSError:
        return None
    finally:
        os.close(handle)


def write_private(path: Path, data: bytes) -> None:
    """Writes such a file, whole or not at all. OSError."""
    if not private_directory(path.parent):
        return
    partial = path.with_name(f".partial-{os.urandom(8).hex()}")
    handle = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            os.write(handle, data)
        finally:
            os.close(handle)
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def _is_private(found: os.stat_result) -> bool:
    return found.st_uid in (os.geteuid(), 0) and not found.st_mode & _OTHERS_WRITE
