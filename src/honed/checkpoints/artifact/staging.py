"""A directory that appears whole or not at all, under a lock, whatever happens to its writer.

It is made inside a hidden sibling that bears honed's mark (`envelope.py`) and renamed into place. What it replaces is
exchanged with it in one step where the system can do that, so that one of the two stands under the name at every
instant; where it cannot, in two, and who looks in between is told where the former one is (`interrupted`). Of what is
replaced only that is removed which is proved to be honed's (`ownership.py`). A writer that was killed leaves an
envelope, which the next one in the same place puts right and removes.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from honed.checkpoints.artifact import envelope as envelopes
from honed.checkpoints.artifact import ownership
from honed.checkpoints.artifact.atomic_rename import ExchangeError, exchange, rename_into_free
from honed.checkpoints.artifact.envelope import Envelope, Replaces
from honed.checkpoints.artifact.interruption import interruptible
from honed.checkpoints.artifact.ownership import OwnArtifact
from honed.checkpoints.artifact.target import check_target, place_of
from honed.checkpoints.artifact.writer_lock import writer_lock
from honed.errors import ArtifactError, HonedError, MachineError, plain

__all__ = ["MARGIN", "check_target", "interrupted", "staged_directory"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MARGIN = 1 << 20
"""Bytes for what directories and small files take beside their contents."""


@contextmanager
def staged_directory(
    target: Path, *, needed: int, replaces: Replaces = "nothing", notes: Callable[[str], None] = lambda _: None
) -> Iterator[Path]:
    """Gives an empty directory that becomes `target` when the block ends, and vanishes if the block raises.

    `needed` bytes must be free, beside what a replaced directory holds. `notes` is told, in sentences, what was found
    of earlier runs, what was kept of the user's, and what could not be removed. On the main thread Ctrl-C, SIGTERM and
    SIGHUP end the block, once: see `interruption.py`. Errors: ArtifactError where `check_target` refuses, where another
    process writes the same target, or where it cannot be written; MachineError where the disk is full.
    """
    place = place_of(target)
    with interruptible() as signals, _explained(place, needed), _parents(place):
        _recover_others(place, notes)
        with writer_lock(place):
            _recover(place, notes)
            with signals.allowed():
                proved = check_target(place, replaces=replaces)
                check_space(place, needed)
            made = envelopes.create(place, replaces)
            try:
                with _explained(place, needed):
                    with signals.allowed():
                        yield made.content
                    _sync_directory(made.content)
                    _put_in_place(made, proved, notes)
            except BaseException:
                left = made.remove()
                if left is not None:  # there will be no report
                    sys.stderr.write(f"honed: {plain(left)}\n")
                raise
            left = made.remove()
            if left is not None:
                notes(left)


def interrupted(path: Path) -> str | None:
    """Where a directory is that was being replaced when its writer ended, as a sentence; None if none was."""
    try:
        place = place_of(path)
        if os.path.lexists(place):
            return None
        for found in envelopes.find(place.parent, place):
            if found.former.is_dir():
                return (
                    f"{path}: is missing, but {found.former} holds the former artifact, which was being replaced when "
                    f"the process ended; run compress again, or rename it to {path}"
                )
    except (HonedError, OSError, ValueError):
        pass
    return None


def check_space(place: Path, needed: int) -> None:
    """MachineError where fewer bytes are free."""
    existing = next(folder for folder in place.parents if folder.exists())
    free = shutil.disk_usage(existing).free
    if free < needed + MARGIN:
        raise MachineError(f"{place}: the disk is too full: {needed + MARGIN} bytes needed, {free} bytes free")


def _put_in_place(made: Envelope, proved: OwnArtifact | None, notes: Callable[[str], None]) -> None:
    target = made.target
    if not os.path.lexists(target):
        try:
            rename_into_free(made.content, target)
        except FileExistsError:
            raise _appeared(target) from None
        _sync_directory(target.parent)
        return
    if made.replaces == "nothing" or (made.replaces == "artifact" and proved is None and not _is_empty(target)):
        raise _appeared(target)
    if proved is not None:
        if not ownership.is_unchanged(target, proved):
            raise ArtifactError(f"{target}: was changed meanwhile, so it is not replaced; run compress again")
        ownership.carry_documents(target, proved, made.content)
        for name in proved.documents:
            notes(f"{target / name} is not as honed wrote it, and was kept")
    try:
        exchange(made.content, target)
    except ExchangeError:
        _replace_in_two_steps(made)
    with suppress(OSError):  # what is not done here, `Envelope.remove` does, or says
        made.name_former()
        _sync_directory(target.parent)
        if proved is not None:
            ownership.remove(made.former, proved, target)


def _replace_in_two_steps(made: Envelope) -> None:
    """Nothing stands under the name in between: `interrupted` tells readers, and the next writer puts it back."""
    made.target.rename(made.former)
    try:
        rename_into_free(made.content, made.target)
    except BaseException:
        made.put_back()
        raise


def _recover(place: Path, notes: Callable[[str], None]) -> None:
    """Puts right and removes what dead writers of this place left. Its lock is held."""
    for found in envelopes.find(place.parent, place):
        if found.put_back():
            notes(f"{found.target} was put back: the process that replaced it had ended halfway")
        left = found.remove()
        notes(f"removed {found.path}, which an interrupted run had left" if left is None else left)
    envelopes.remove_unmarked(place.parent, place)


def _recover_others(place: Path, notes: Callable[[str], None]) -> None:
    """The same for other targets in the same directory that nobody is writing."""
    for target in {found.target for found in envelopes.find(place.parent)} - {place}:
        with suppress(ArtifactError, OSError), writer_lock(target):
            _recover(target, notes)


@contextmanager
def _parents(place: Path) -> Iterator[None]:
    """Makes the directories above a place, and takes those it made away again where nothing came to lie in them."""
    made: list[Path] = []
    try:
        for folder in reversed(place.parents):
            if not folder.is_dir():
                with suppress(FileExistsError):
                    folder.mkdir()
                    made.append(folder)
        yield
    except BaseException:
        for folder in reversed(made):
            with suppress(OSError):
                folder.rmdir()
        raise


@contextmanager
def _explained(place: Path, needed: int) -> Iterator[None]:
    """An OSError as a sentence. Free space is what there is now, before anything is removed."""
    try:
        yield
    except OSError as error:
        raise _cannot(place, error, needed) from error


def _cannot(place: Path, error: OSError, needed: int) -> HonedError:
    if error.errno in _FULL:
        existing = next(folder for folder in place.parents if folder.exists())
        free = shutil.disk_usage(existing).free
        return MachineError(
            f"{place}: the disk became full while writing ({error.strerror}): {needed + MARGIN} bytes needed in all, "
            f"{free} bytes free now; nothing was changed"
        )
    return ArtifactError(f"{place}: cannot be written: {error.strerror or error}; choose another output")


def _appeared(target: Path) -> ArtifactError:
    return ArtifactError(f"{target}: appeared while it was being made, and is not replaced; choose another output")


def _is_empty(target: Path) -> bool:
    return target.is_dir() and not target.is_symlink() and not any(target.iterdir())


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
