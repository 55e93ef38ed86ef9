"""A file that appears whole or not at all: written as a private hidden sibling under a lock, then renamed into place
with the mode that files usually get.

What a writer that was killed left is removed by the next one of the same name. A file is replaced only where that was
asked for, and only a GGUF file. Not here: directories (`artifact/staging.py`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from honed.checkpoints.artifact.atomic_rename import rename_into_free
from honed.checkpoints.artifact.interruption import interruptible
from honed.checkpoints.artifact.names import sibling
from honed.checkpoints.artifact.staging import check_space
from honed.checkpoints.artifact.target import check_target, place_of
from honed.checkpoints.artifact.writer_lock import writer_lock
from honed.checkpoints.gguf.header import MAGIC
from honed.errors import ArtifactError, MachineError
from honed.regular_files import open_regular

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_file_target(target: Path, *, overwrite: bool) -> None:
    """ArtifactError, before any work, for a place that is taken or cannot be written."""
    place = place_of(target)
    if not (overwrite and os.path.lexists(place)):
        check_target(target, replaces="nothing")
        return
    if place.is_symlink() or not place.is_file():
        raise ArtifactError(f"{target}: is no file of its own; --overwrite replaces only a GGUF file")
    try:
        with open_regular(place) as file:
            is_gguf = file.read(4) == MAGIC
    except OSError as error:
        raise ArtifactError(f"{target}: cannot be read: {error.strerror or error}; choose another output") from None
    if not is_gguf:
        raise ArtifactError(f"{target}: is no GGUF file; --overwrite replaces only those: choose another output")


@contextmanager
def staged_file(target: Path, *, needed: int, overwrite: bool) -> Iterator[tuple[BinaryIO, Path]]:
    """An open file and where it lies, which becomes `target` when the block ends, and vanishes if the block raises.

    The directory must be there. Errors: ArtifactError as of `check_file_target`, where another process writes the same
    target, or where it cannot be written; MachineError where fewer than `needed` bytes are free.
    """
    place = place_of(target)
    partial = sibling(place, "honed-partial")
    with interruptible() as signals, _explained(target, needed):
        if not place.parent.is_dir():
            raise ArtifactError(f"{target}: {place.parent} is not a directory; make it first")
        with writer_lock(place):
            with signals.allowed():
                check_file_target(target, overwrite=overwrite)
                check_space(place, needed)
            partial.unlink(missing_ok=True)
            flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
            try:
                with os.fdopen(os.open(partial, flags, 0o600), "w+b") as file:
                    with signals.allowed():
                        yield file, partial
                    file.flush()
                    os.fchmod(file.fileno(), _usual_mode())
                    os.fsync(file.fileno())
                if overwrite:
                    check_file_target(target, overwrite=True)
                    partial.replace(place)
                else:
                    _into_free(partial, place, target)
                _sync(place.parent)
            except BaseException:
                with suppress(OSError):
                    partial.unlink(missing_ok=True)
                raise


def _usual_mode() -> int:
    """That of a file made now. The mask can be asked for without setting it only where the system lists it."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text("ascii").splitlines():
            if line.startswith("Umask:"):
                return 0o666 & ~int(line.split()[1], 8)
    return 0o600


def _into_free(partial: Path, place: Path, target: Path) -> None:
    try:
        rename_into_free(partial, place)
    except FileExistsError:
        raise ArtifactError(
            f"{target}: appeared while it was being made, and is not replaced; choose another output"
        ) from None


@contextmanager
def _explained(target: Path, needed: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise MachineError(
                f"{target}: the disk became full while writing: {needed} bytes needed in all; nothing was changed"
            ) from error
        raise ArtifactError(f"{target}: cannot be written: {error.strerror or error}; choose another output") from error


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
