"""`honed.compress`: a model and a recipe to an artifact on disk.

Everything that can be known from names and shapes (recipe, output, space, supported weights) is checked before the
first weight is touched, and the artifact is opened again and compared with what was asked before the call returns.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from honed.api.compress_contents import Prepared, contents_of, prepare
from honed.api.compress_job import CompressJob, begun_with
from honed.api.compress_plan import (
    CompressPlan,
    bits_per_weight,
    check_encodes,
    check_resources,
    free_disk,
    kept_bytes,
    layer_kinds,
    seconds_of,
)
from honed.api.load import check_model
from honed.backends.free_memory import free_memory
from honed.backends.options import check_threads
from honed.checkpoints.artifact.checkpoint import Artifact
from honed.checkpoints.artifact.envelope import Replaces
from honed.checkpoints.artifact.target import check_apart, check_target, read_output
from honed.checkpoints.artifact.tokenizer_files import copied_names
from honed.checkpoints.artifact.writer import Contents, layout_of, needed_bytes, write_artifact
from honed.checkpoints.base import Checkpoint, Mapped
from honed.checkpoints.open import open_checkpoint
from honed.compress.calibration_settings import SAMPLED
from honed.compress.stored import StoredWeights, TensorReport
from honed.encodings.scheme import DenseScheme, becomes
from honed.errors import ArtifactError, ParameterError, plain
from honed.notes import note
from honed.parameters import checks_names, flag, function, location

if TYPE_CHECKING:
    from honed.compress.memory_needed import MemoryNeeded
    from honed.compress.recipe import Recipe

WRITING = "writing"
_RECENT = 32
"""Weights whose times tell how long the others take."""


@dataclass(frozen=True)
class Progress:
    """`done` of `total` weights are written, `name` last. stage: `writing`, or the name of a pass that goes block by
    block and has made so many. seconds_left: of this stage, once that can be told."""

    done: int
    total: int
    name: str
    stage: str = WRITING
    seconds_left: float | None = None


@dataclass(frozen=True)
class CompressReport:
    """What was made. `source_bytes` and `bytes` count the weight files; `notes` say what a user should know of it."""

    source: str
    path: Path
    source_bytes: int
    bytes: int
    seconds: float
    tensors: tuple[TensorReport, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "path": str(self.path)}


@checks_names
def compress(
    model: str | Path | Checkpoint,
    recipe: str | Path | Mapping[str, Any] | Recipe = "int8",
    *,
    out: str | Path,
    overwrite: bool = False,
    portable: bool | None = None,
    revision: str | None = None,
    calibration: str | Path | None = None,
    calibration_tokens: int | None = None,
    threads: int | None = None,
    resume: bool = False,
    restart: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> CompressReport:
    """Compresses a model into the directory `out`.

    model: a name as `honed.load` takes it, or an open checkpoint. recipe: a built-in name (`honed recipes` lists them),
    a .json or .yaml file, or a mapping (`compress/recipe.py`). portable: every weight is stored once, unless what other
    tools need shall lie beside it (a dense embedding and head, zero points for float minimums); to honed both are the
    same model. None: once, but for an untied head that would keep transformers from reading layers with zero points.
    calibration, calibration_tokens: what text passes learn from (built-in, sampled, or a file) and how many tokens of
    it, instead of what the recipe says (`compress/calibration_settings.py`). An existing artifact is replaced only with
    `overwrite`, if it is proved to be honed's own (`checkpoints/artifact/ownership.py`), and then in one step once the
    new one is complete and was read back; README, licences and the like that are not as honed wrote them are kept. The
    same model and recipe give the same bytes, whatever the number of threads.

    What passes make block by block, and text that the model writes to be calibrated on, is kept beside `out` until the
    artifact is complete. After any end, resume goes on with it to the same bytes, where model, recipe, calibration,
    version and processor are the same; restart discards it.

    Errors: ParameterError (recipe, threads, output, portable where the recipe has codebooks), SourceError, FormatError
    (also for NaN and infinity), UnsupportedError, ArtifactError (output exists, holds the model or what honed did not
    write, cannot be written; an unfinished job is there, or was begun with something else), MachineError (memory or
    disk do not suffice), OutcomeError (a pass made something else than was asked).
    """
    started = time.perf_counter()
    function("progress", progress)
    resume, restart = flag("resume", resume), flag("restart", restart)
    asked = _Asked(model, recipe, out, overwrite, portable, revision, calibration, calibration_tokens, threads)
    (prepared, target), replaces = asked.prepared(), asked.replaces
    job = CompressJob(target, begun_with(prepared.files, prepared.recipe, _isa()), resume=resume, restart=restart)
    of_output: list[str] = []
    with job, _told_where(job):
        _check(prepared, target, replaces, of_output.append)
        kept = job.windows()
        found = prepared.calibration(kept)
        if found is not None:
            wrote = found.text == SAMPLED
            job.calibrated(found.record(), found.windows if wrote and kept is None else None)
        report = _Reporting(progress, prepared.checkpoint)
        compressed = prepared.run(found.windows if found else (), store=job, progress=report.made)
        contents, stored = contents_of(prepared, compressed, found)
        report.total = len(contents.schemes)
        write_artifact(
            target,
            contents,
            replaces=replaces,
            check=lambda directory: _check_written(directory, contents),
            written=report.written,
            notes=of_output.append,
        )
        left = job.finish()
    nbytes = layout_of(contents).nbytes
    source_bytes = sum(path.stat().st_size for path in prepared.checkpoint.files)
    return CompressReport(
        source=prepared.given_name,
        path=target,
        source_bytes=source_bytes,
        bytes=nbytes,
        seconds=time.perf_counter() - started,
        tensors=stored.reports(),
        notes=(
            *contents.provenance.notes,
            *_larger(nbytes, source_bytes),
            *of_output,
            *(() if left is None else (left,)),
        ),
    )


@checks_names
def plan_compress(
    model: str | Path | Checkpoint,
    recipe: str | Path | Mapping[str, Any] | Recipe = "int8",
    *,
    out: str | Path,
    overwrite: bool = False,
    portable: bool | None = None,
    revision: str | None = None,
    calibration: str | Path | None = None,
    calibration_tokens: int | None = None,
    threads: int | None = None,
    timed: bool = True,
) -> CompressPlan:
    """What `compress` would do with the same arguments, and what it takes; nothing is left behind.

    timed: two blocks are tried on a few tokens, to tell how long it takes; that of a training which counts steps is not
    known. Errors: those of `compress` that come before
    its first weight, those of memory and disk included.
    """
    asked = _Asked(model, recipe, out, overwrite, portable, revision, calibration, calibration_tokens, threads)
    prepared, target = asked.prepared()
    of_output: list[str] = []
    contents, needed, disk = _check(prepared, target, asked.replaces, of_output.append)
    settings, nbytes = prepared.recipe.calibration, layout_of(contents).nbytes
    source_bytes = sum(path.stat().st_size for path in prepared.checkpoint.files)
    seconds = None
    if flag("timed", timed):
        from honed.compress.passes.distill import DistillSettings

        # How long training takes is said by a recipe, and by nothing that could be tried.
        minutes = [passed.minutes for passed in prepared.recipe.passes if isinstance(passed, DistillSettings)]
        others = tuple(one for one in prepared.recipe.passes if not isinstance(one, DistillSettings))
        tried = dataclasses.replace(prepared, recipe=prepared.recipe.model_copy(update={"passes": others}))
        if None not in minutes:
            seconds = seconds_of(prepared.model, tried.recipe, list(contents.schemes), tried.tokens, _trial(tried))
            seconds += 60 * sum(filter(None, minutes))
    return CompressPlan(
        source=prepared.given_name,
        path=target,
        recipe=prepared.recipe.as_json(),
        source_bytes=source_bytes,
        bytes=nbytes,
        bits_per_weight=bits_per_weight(nbytes, contents.shapes),
        layers=layer_kinds(contents.schemes, contents.shapes),
        tokens=prepared.tokens,
        calibration=None if not prepared.tokens else settings.text or prepared.usual_text,
        disk_bytes=disk,
        free_disk_bytes=free_disk(target),
        memory_bytes=needed.total,
        memory=dataclasses.asdict(needed),
        free_memory_bytes=free_memory(),
        seconds=seconds,
        notes=(*contents.provenance.notes, *_larger(nbytes, source_bytes), *of_output),
    )


@dataclass(frozen=True)
class _Asked:
    """The arguments that compressing and planning have alike."""

    model: str | Path | Checkpoint
    recipe: str | Path | Mapping[str, Any] | Recipe
    out: str | Path
    overwrite: bool
    portable: bool | None
    revision: str | None
    calibration: str | Path | None
    calibration_tokens: int | None
    threads: int | None

    @property
    def replaces(self) -> Replaces:
        return "artifact" if flag("overwrite", self.overwrite) else "nothing"

    def prepared(self) -> tuple[Prepared, Path]:
        """What was asked, as far as it is checked without a weight; and where it goes."""
        from honed.compress.recipe import read_recipe

        model = self.model
        if isinstance(model, str | Path):
            check_model("model", model, self.revision)
        elif not isinstance(getattr(model, "kind", None), str):
            raise ParameterError("model", model, "must be a name, a path or an open checkpoint")
        threads = check_threads(self.threads) or _cpus()
        portable = None if self.portable is None else flag("portable", self.portable)
        location("out", self.out)
        target = read_output(self.out)
        chosen = _calibrated(read_recipe(self.recipe), self.calibration, self.calibration_tokens)
        check_target(target, replaces=self.replaces)
        checkpoint = open_checkpoint(str(model), self.revision) if isinstance(model, str | Path) else model
        check_apart(target, checkpoint.path, _read_files(checkpoint))
        name = str(model) if isinstance(model, str) else checkpoint.path.name
        found = prepare(checkpoint, name, _public_name(name), chosen, portable=portable, threads=threads)
        return found, target


def _check(
    prepared: Prepared, target: Path, replaces: Replaces, notes: Callable[[str], None]
) -> tuple[Contents, MemoryNeeded, int]:
    """What would be written, the memory for it and the bytes of disk, all of which are there. notes: is told what was
    found beside the output."""
    from honed.compress.memory_needed import memory_needed

    contents, _ = prepared.planned()
    recipe, schemes, shapes = prepared.recipe, contents.schemes, contents.shapes
    check_encodes(recipe, schemes, prepared.checkpoint.path)
    encoded = {name: scheme for name, scheme in schemes.items() if not isinstance(scheme, DenseScheme)}
    needed = memory_needed(prepared.model, recipe, encoded, tokens=prepared.tokens)
    disk = needed_bytes(contents) + kept_bytes(recipe, schemes, shapes) + 4 * prepared.tokens
    check_resources(needed, disk, target, replaces, notes)
    return contents, needed, disk


def _trial(prepared: Prepared) -> Callable[[int], Callable[[str], object]]:
    def make(tokens: int) -> Callable[[str], object]:
        length = min(tokens, 256, prepared.model.dimensions.context)
        ids = np.random.default_rng(0).integers(0, prepared.model.dimensions.vocabulary, (tokens // length, length))
        windows = [[int(token) for token in window] for window in ids]
        stored = StoredWeights(prepared.run(windows if prepared.recipe.calibrates else ()))
        return stored.weight

    return make


class _Reporting:
    """Tells the caller's function of weights that passes made and of those that were written, and how long it will
    be. After each, the pages of the source that were read for it no longer count as memory of this process."""

    def __init__(self, progress: Callable[[Progress], None] | None, checkpoint: Checkpoint) -> None:
        self._progress = progress
        self._mapped = checkpoint if isinstance(checkpoint, Mapped) else None
        self._give_back()
        self._times: deque[tuple[str, float, int]] = deque(maxlen=_RECENT)
        self._done = 0
        self.total = 0

    def made(self, step: str, done: int, total: int) -> None:
        self._tell(done, total, "", step)

    def written(self, name: str, _: int) -> None:
        self._done += 1
        self._tell(self._done, self.total, name, WRITING)

    def _give_back(self) -> None:
        if self._mapped is not None:
            self._mapped.give_back()

    def _tell(self, done: int, total: int, name: str, stage: str) -> None:
        self._give_back()
        if self._progress is None:
            return
        now = time.perf_counter()
        self._times.append((stage, now, done))
        first = next(time for time in self._times if time[0] == stage)
        left = None if done == first[2] else (now - first[1]) / (done - first[2]) * (total - done)
        self._progress(Progress(done, total, name, stage, left))


@contextmanager
def _told_where(job: CompressJob) -> Iterator[None]:
    """After an error or an interruption says that the work is not lost."""
    try:
        yield
    except BaseException:
        if job.kept is not None:
            note(f"what was made so far is in {job.kept}: --resume (resume=True) goes on from there")
        raise


def _isa() -> str:
    from honed.api.evaluate import instruction_set

    return instruction_set(None)


def _calibrated(recipe: Recipe, text: str | Path | None, tokens: int | None) -> Recipe:
    """The recipe with what the caller says of its calibration."""
    from honed.compress.recipe import read_recipe

    given = {"text": None if text is None else str(location("calibration", text)), "tokens": tokens}
    asked = {name: value for name, value in given.items() if value is not None}
    if not asked:
        return recipe
    if not recipe.calibrates:
        raise ParameterError(
            "calibration", text if text is not None else tokens, "is asked for by no pass of the recipe"
        )
    found = recipe.as_json()
    return read_recipe({**found, "calibration": {**found["calibration"], **asked}})


def _larger(nbytes: int, source_bytes: int) -> tuple[str, ...]:
    """A note where compressing made a model larger, as int8 does of a 4-bit file."""
    if nbytes <= source_bytes:
        return ()
    return (f"the weights take {nbytes / 1e6:.1f} MB, more than the {source_bytes / 1e6:.1f} MB of the source",)


def _read_files(checkpoint: Checkpoint) -> tuple[Path, ...]:
    """Every file that is read of a model: a directory's weights and what lies beside them."""
    if not checkpoint.path.is_dir():
        return checkpoint.files
    beside = (checkpoint.path / name for name in ("config.json", *copied_names(checkpoint)))
    return (*checkpoint.files, *(path for path in beside if path.exists()))


def _check_written(directory: Path, contents: Contents) -> None:
    """Opens what was written, as a user would, and compares it with what was to be written."""
    artifact = Artifact(directory, remembers=False)
    artifact.verify()
    for name, scheme in contents.schemes.items():
        found = artifact.scheme(name)
        if not becomes(scheme, found):
            raise ArtifactError(f"{directory}: {name}: reads back as {found}, not {scheme}")


def _public_name(name: str) -> str:
    """A name for the manifest: a path of this machine says nothing elsewhere, its last part does."""
    return plain(Path(name).name if os.sep in name and Path(name).exists() else name)


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
