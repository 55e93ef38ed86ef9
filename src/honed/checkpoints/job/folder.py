"""The hidden directory of a job that is not finished, beside what it will make: `.NAME.honed-job`.

    honed-job.json             the mark: what the job was begun with
    calibration.safetensors    the tokens that the model wrote to calibrate on
    pass-N/SHA.safetensors     a weight that the pass at that place has made, by the digest of its name
    pass-N/state/              what that pass keeps of its own

Directory and mark are this user's alone, and without a mark that says so nothing is believed or removed. One process
works in it at a time. Not here: what the files hold (`kept_tensors.py`), and what a job must be begun with to go on
(`api/compress_job.py`)."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from honed.checkpoints.artifact.names import sibling
from honed.checkpoints.artifact.target import place_of
from honed.checkpoints.artifact.writer_lock import writer_lock
from honed.checkpoints.job.kept_tensors import PARTIAL
from honed.errors import ArtifactError, plain

MARK = "honed-job.json"
CALIBRATION = "calibration.safetensors"
_STATE = "state"
_LONGEST_MARK = 1 << 16
_OWN = re.compile(rf"[0-9a-f]{{64}}\.safetensors|{re.escape(PARTIAL)}[0-9a-f]{{16}}|{re.escape(CALIBRATION)}")
_PASS = re.compile(r"pass-\d{1,4}")


def path_of_job(target: Path) -> Path:
    """Where the job of an output is."""
    return sibling(place_of(target), "honed-job")


@contextmanager
def job_lock(target: Path) -> Iterator[None]:
    """Holds the job of an output. Errors: as `writer_lock`."""
    with writer_lock(path_of_job(target)):
        yield


@dataclass(frozen=True)
class JobFolder:
    """One that bears the mark. `begun_with`: digests and texts by what they are of."""

    path: Path
    begun_with: Mapping[str, str]

    @property
    def calibration(self) -> Path:
        return self.path / CALIBRATION

    def weight(self, number: int, name: str) -> Path:
        """Where a weight of the pass at this place is kept."""
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
        return self._of_pass(number) / f"{digest}.safetensors"

    def state(self, number: int) -> Path:
        """A directory that belongs to the pass at this place."""
        path = self._of_pass(number) / _STATE
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def kept_weights(self) -> int:
        """Of all passes together."""
        return sum(1 for _ in self.path.glob("pass-*/*.safetensors"))

    def remove(self) -> str | None:
        """Removes what honed made. What is left and why, as a sentence; None if nothing is."""
        for folder in self.path.iterdir():
            if _PASS.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
                shutil.rmtree(folder / _STATE, ignore_errors=True)
                _remove_own(folder)
        _remove_own(self.path)
        left = sorted(entry.name for entry in self.path.iterdir() if entry.name != MARK)
        if left:
            return f"{self.path} is left over: honed did not make {plain(left[0])} in it"
        with suppress(OSError):
            (self.path / MARK).unlink()
            self.path.rmdir()
        return None if not os.path.lexists(self.path) else f"{self.path} is left over and could not be removed"

    def _of_pass(self, number: int) -> Path:
        path = self.path / f"pass-{number}"
        path.mkdir(mode=0o700, exist_ok=True)
        return path


def create_job(target: Path, begun_with: Mapping[str, str]) -> JobFolder:
    """A new one. Its lock is held. FileExistsError where there is something; OSError."""
    path = path_of_job(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700)
    mark = {"honed": "job", "target": target.name, "begun_with": dict(begun_with)}
    handle = os.open(path / MARK, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, json.dumps(mark).encode())
        os.fsync(handle)
    finally:
        os.close(handle)
    return JobFolder(path, dict(begun_with))


def find_job(target: Path) -> JobFolder | None:
    """The one of an output; None where there is none. One whose process ended before it was marked is removed.

    ArtifactError where something has its name that does not bear honed's mark.
    """
    path = path_of_job(target)
    if not os.path.lexists(path):
        return None
    if _is_unmarked(path):
        with job_lock(target), suppress(OSError):  # whoever is marking it just now holds the lock
            if _is_unmarked(path):
                (path / MARK).unlink(missing_ok=True)
                path.rmdir()
                return None
    begun_with = _read_mark(path, target.name)
    if begun_with is None:
        raise ArtifactError(f"{path}: is in the place of an unfinished job and is none of honed's; move it away")
    return JobFolder(path, begun_with)


def _is_unmarked(path: Path) -> bool:
    """Whether nothing is in it, or a mark that nothing was written into."""
    with suppress(OSError):
        if not path.is_symlink() and path.is_dir() and path.lstat().st_uid == os.geteuid():
            mark = path / MARK
            names = {entry.name for entry in path.iterdir()}
            empty = names == {MARK} and not mark.is_symlink() and mark.is_file() and not mark.stat().st_size
            return empty or not names
    return False


def _read_mark(path: Path, name: str) -> dict[str, str] | None:
    try:
        folder = path.lstat()
        handle = os.open(path / MARK, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            mark = os.fstat(handle)
            value = json.loads(os.read(handle, _LONGEST_MARK))
        finally:
            os.close(handle)
        kind, target, begun_with = (value[key] for key in ("honed", "target", "begun_with"))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    ours = stat.S_ISDIR(folder.st_mode) and stat.S_ISREG(mark.st_mode) and mark.st_nlink == 1
    ours = ours and folder.st_uid == mark.st_uid == os.geteuid() and not folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not ours or kind != "job" or target != name or not isinstance(begun_with, dict):
        return None
    texts = all(isinstance(text, str) for pair in begun_with.items() for text in pair)
    return begun_with if texts else None


def _remove_own(folder: Path) -> None:
    """Files by honed's names, and the folder if nothing is left."""
    for entry in folder.iterdir():
        if _OWN.fullmatch(entry.name) and entry.is_file() and not entry.is_symlink():
            entry.unlink()
    with suppress(OSError):
        folder.rmdir()
