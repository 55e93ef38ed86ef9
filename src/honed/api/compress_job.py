"""A run of `compress` that can go on after whatever ended it: what costs long is kept beside the output.

A job is begun with one model, recipe, version of honed and kind of processor, and goes on with nothing else: what it
kept would be of another one. The tokens that it calibrated on are checked too. Nothing is kept of recipes that ask for
nothing costly. Not here: how it lies on disk (`checkpoints/job/`), and when a pass keeps what (`compress/by_block.py`).
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from honed.checkpoints.artifact.manifest import FileRecord, cpu_flags
from honed.checkpoints.job.folder import JobFolder, create_job, find_job, job_lock, path_of_job
from honed.checkpoints.job.kept_tensors import load_weight, load_windows, save_weight, save_windows
from honed.encodings.base import Encoded
from honed.errors import ArtifactError, ParameterError
from honed.notes import note
from honed.version import __version__

if TYPE_CHECKING:
    from honed.compress.recipe import Recipe

_CALIBRATION = "calibration"
_REMEDY = "--resume (resume=True) goes on with it, --restart (restart=True) discards it"


def begun_with(files: Mapping[str, FileRecord], recipe: Recipe, isa: str) -> dict[str, str]:
    """What a job depends on, by the words that a refusal names it with. `files`: of the model. Of the processor, what
    decides about the bits of factorizations."""
    records = {name: [record.nbytes, record.sha256] for name, record in sorted(files.items())}
    return {
        "model": _digest(records),
        "recipe": _digest(recipe.as_json()),
        "honed": __version__,
        "numpy": np.__version__,
        "processor": " ".join([platform.machine(), isa, *cpu_flags()]),
    }


class CompressJob:
    """Is a `ProgressStore`. A context: what is kept stays where its block raises, unless it is nothing, and goes with
    `finish`."""

    def __init__(self, target: Path, given: Mapping[str, str], *, resume: bool, restart: bool) -> None:
        """Nothing is made on disk before something is kept.

        Errors: ParameterError for resume and restart together; ArtifactError where there is a job and neither is asked
        for, or where it was begun with something else, BusyError where another process is at it.
        """
        if resume and restart:
            raise ParameterError("resume", True, "goes on with what restart discards; leave one of them out")
        self._target, self._given = target, dict(given)
        self._stack, self._locked = ExitStack(), False
        self._folder = find_job(target)
        if self._folder is None:
            if resume:
                note(f"{target}: there is no unfinished job to go on with; this run begins one")
            return
        if not (resume or restart):
            kept = self._folder.kept_weights()
            raise ArtifactError(f"{self._folder.path}: is an unfinished job of {kept} weights; {_REMEDY}")
        self._lock()
        try:
            if restart:
                self._discard()
            else:
                self._require({name: text for name, text in self._folder.begun_with.items() if name != _CALIBRATION})
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> CompressJob:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if kind is not None and self._folder is not None and not self._holds_anything(self._folder):
                self._discard()

    @property
    def kept(self) -> Path | None:
        """Where it is, if anything is kept."""
        return None if self._folder is None else self._folder.path

    def windows(self) -> list[list[int]] | None:
        """The tokens that the model wrote for an earlier run."""
        found = None if self._folder is None else load_windows(self._folder.calibration)
        return None if found is None else [[int(token) for token in window] for window in found]

    def calibrated(self, record: Mapping[str, object], sampled: list[list[int]] | None) -> None:
        """Told of what is calibrated on, as the manifest has it; and of the tokens, where the model wrote them and they
        are to be kept. ArtifactError where an earlier run was calibrated on something else."""
        self._given[_CALIBRATION] = str(record["sha256"])
        if self._folder is not None:
            self._require(self._folder.begun_with)
        if sampled is not None:
            path = self._made().calibration
            if not path.exists():
                save_windows(path, np.asarray(sampled, np.int32))

    def of_pass(self, number: int) -> _PassStore:
        return _PassStore(self, number)

    def finish(self) -> str | None:
        """The output is complete. What of the job could not be removed, as a sentence."""
        return None if self._folder is None else self._discard()

    def load(self, number: int, name: str) -> Encoded | None:
        return None if self._folder is None else load_weight(self._folder.weight(number, name), name)

    def save(self, number: int, name: str, weight: Encoded) -> None:
        save_weight(self._made().weight(number, name), name, weight)

    def directory_for(self, number: int) -> Path:
        return self._made().state(number)

    def _made(self) -> JobFolder:
        if self._folder is None:
            path_of_job(self._target).parent.mkdir(parents=True, exist_ok=True)
            self._lock()
            try:
                self._folder = create_job(self._target, self._given)
            except FileExistsError:
                path = path_of_job(self._target)
                raise ArtifactError(f"{path}: appeared meanwhile; {_REMEDY}") from None
        return self._folder

    def _lock(self) -> None:
        if not self._locked:
            self._stack.enter_context(job_lock(self._target))
            self._locked = True

    def _require(self, kept: Mapping[str, str]) -> None:
        assert self._folder is not None
        for name, text in kept.items():
            if self._given.get(name) != text:
                raise ArtifactError(
                    f"{self._folder.path}: the unfinished job was begun with another {name}; go on with that one, or "
                    "discard the job with --restart (restart=True)"
                )

    def _discard(self) -> str | None:
        assert self._folder is not None
        left = self._folder.remove()
        self._folder = None
        return left

    @staticmethod
    def _holds_anything(folder: JobFolder) -> bool:
        states = (entry for state in folder.path.glob("pass-*/state") for entry in state.iterdir())
        return folder.calibration.exists() or folder.kept_weights() > 0 or next(states, None) is not None


class _PassStore:
    """Is a `PassStore`."""

    def __init__(self, job: CompressJob, number: int) -> None:
        self._job, self._number = job, number

    def load(self, name: str) -> Encoded | None:
        return self._job.load(self._number, name)

    def save(self, name: str, weight: Encoded) -> None:
        self._job.save(self._number, name, weight)

    def directory(self) -> Path:
        return self._job.directory_for(self._number)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
