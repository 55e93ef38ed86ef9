"""A directory that appears whole or not at all, under a lock, whatever happens to its writer.

It is made as the hidden sibling `.NAME.partial` and renamed into place. One writer at a time holds a lock on
`.NAME.lock`; the system lets go of it when the writer dies, so a partial directory found under the lock is a dead
writer's and is removed. A directory that is replaced is kept as `.NAME.previous` until the new one is in place, and
put back by the next writer if the machine stopped between the two renames.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from honed.errors import ArtifactError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MARGIN = 1 << 20
"""Bytes for what directories and small files take beside their contents."""


def check_target(target: Path, *, overwrite: bool, replaceable: Callable[[Path], bool]) -> None:
    """Refuses, before any work, a target that exists, is not a directory of the right kind or cannot be written."""
    if os.path.lexists(target):
        if not overwrite:
            raise ArtifactError(f"{target}: exists already; choose another output or pass --overwrite")
        if target.is_symlink() or not target.is_dir() or not (replaceable(target) or not any(target.iterdir())):
            raise ArtifactError(f"{target}: --overwrite replaces only an artifact that honed wrote, and this is none")
    existing = next(folder for folder in target.absolute().parents if folder.exists())
    if not existing.is_dir():
        raise ArtifactError(f"{target}: {existing} is not a directory")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ArtifactError(f"{target}: {existing} cannot be written to")


@contextmanager
def staged_directory(
    target: Path, *, needed: int, overwrite: bool, replaceable: Callable[[Path], bool]
) -> Iterator[Path]:
    """Gives an empty directory that becomes `target` when the block ends, and vanishes if the block raises.

    `needed` bytes must be free, beside what a replaced directory holds. ArtifactError where that is not so, where
    another process writes the same target, or where the disk is full or read-only on the way.
    """
    target = target.absolute()
    partial, previous = (target.with_name(f".{target.name}.{role}") for role in ("partial", "previous"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target):
            _recover(target, partial, previous)
            check_target(target, overwrite=overwrite, replaceable=replaceable)
            _check_space(target, needed)
            partial.mkdir()
            try:
                yield partial
                _sync_directory(partial)
                _put_in_place(target, partial, previous)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise _explained(error, target, needed) from error


def _put_in_place(target: Path, partial: Path, previous: Path) -> None:
    replaces = target.exists()
    if replaces:
        target.rename(previous)
    try:
        partial.rename(target)
    except BaseException:
        if replaces:
            previous.rename(target)
        raise
    _sync_directory(target.parent)
    shutil.rmtree(previous, ignore_errors=True)


def _recover(target: Path, partial: Path, previous: Path) -> None:
    if partial.exists():
        shutil.rmtree(partial)
    if previous.exists():
        if target.exists():
            shutil.rmtree(previous)
        else:
            previous.rename(target)


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    path = target.with_name(f".{target.name}.lock")
    while True:
        handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
            os.close(handle)
            raise ArtifactError(f"{target}: another process (id {holder}) is writing it") from None
        if _is_still(path, handle):
            break
        # Its last holder removed the file between our open and our lock; a fresh one is needed.
        os.close(handle)
    try:
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _is_still(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _check_space(target: Path, needed: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if free < needed + MARGIN:
        raise ArtifactError(f"{target}: the disk is too full: {needed + MARGIN} bytes needed, {free} bytes free")


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _explained(error: OSError, target: Path, needed: int) -> ArtifactError:
    if error.errno in _FULL:
        free = shutil.disk_usage(target.parent).free
        return ArtifactError(
            f"{target}: the disk became full while writing ({error.strerror}): {needed + MARGIN} bytes needed in all, "
            f"{free} bytes free now; nothing was changed"
        )
    return ArtifactError(f"{target}: cannot be written: {error.strerror or error}")
