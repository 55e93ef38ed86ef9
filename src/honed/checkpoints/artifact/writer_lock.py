"""One writer of a directory at a time: a lock on the hidden sibling `.NAME.honed-lock`.

The system lets go of the lock when its holder dies; the file may stay, and the next holder removes it. A file under
that name that honed did not write is never touched: no link is followed, and nothing is cut short.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from honed.checkpoints.artifact.names import sibling
from honed.errors import ArtifactError

_HEAD = b"honed lock\n"


class BusyError(ArtifactError):
    """Another process holds the lock."""


@contextmanager
def writer_lock(target: Path) -> Iterator[None]:
    """Holds the lock. Errors: BusyError, ArtifactError where something else has the lock's name, OSError."""
    path = sibling(target, "honed-lock")
    handle = _acquire(path, target)
    try:
        # Written at its beginning and never cut: what is longer is the number of a process before us.
        os.pwrite(handle, b"%s%-10d\n" % (_HEAD, os.getpid()), 0)
        yield
    finally:
        # Under the lock: whoever waits for it finds the file gone and takes a fresh one.
        path.unlink(missing_ok=True)
        os.close(handle)


def _acquire(path: Path, target: Path) -> int:
    while True:
        handle = _open(path)
        try:
            holder = _check_own(path, handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BusyError(
                    f"{target}: another process (id {holder or 'unknown'}) is writing it; wait for it"
                ) from None
            if _is_still(path, handle):
                return handle
        except BaseException:
            os.close(handle)
            raise
        # Its last holder removed the file between our open and our lock; a fresh one is needed.
        os.close(handle)


def _open(path: Path) -> int:
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise _foreign(path)
    # Nor does it follow a link, or wait for a fifo, that was put there just now.
    return os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)


def _check_own(path: Path, handle: int) -> str:
    """The id of the process that wrote the file last, empty where none did."""
    found = os.fstat(handle)
    head = os.pread(handle, 64, 0)
    if (
        not stat.S_ISREG(found.st_mode)
        or found.st_uid != os.geteuid()
        or found.st_nlink > 1
        or found.st_size > len(head)
        or not (head == b"" or head.startswith(_HEAD))
    ):
        raise _foreign(path)
    return head.removeprefix(_HEAD).decode("ascii", "replace").strip()


def _foreign(path: Path) -> ArtifactError:
    return ArtifactError(f"{path}: is in the place of honed's lock and is none of honed's; move it out of the way")


def _is_still(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(handle))
    except FileNotFoundError:
        return False
