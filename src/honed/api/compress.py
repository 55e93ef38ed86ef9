"""`honed.compress`: a model and a recipe to an artifact on disk.

Everything that can be known from names and shapes (recipe, output, space, supported weights) is checked before the
first weight is touched, and the artifact is opened again and compared with what was asked before the call returns.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed.checkpoints.artifact.checkpoint import Artifact
from honed.checkpoints.artifact.manifest import FileRecord, Provenance
from honed.checkpoints.artifact.staging import check_target
from honed.checkpoints.artifact.tokenizer_files import tokenizer_files
from honed.checkpoints.artifact.writer import Contents, DenseForm, is_artifact, layout_of, write_artifact
from honed.checkpoints.base import Checkpoint
from honed.checkpoints.fingerprint import file_sha256
from honed.checkpoints.finite import check_finite
from honed.checkpoints.huggingface.checkpoint import Directory
from honed.checkpoints.open import open_checkpoint
from honed.compress.base import TensorReport, Weights
from honed.compress.linears import Linears, find_linears
from honed.compress.pipeline import Pipeline, SourceWeights, compress_weights
from honed.compress.round_to_nearest import dense_scheme, to_dense
from honed.encodings.base import Encoded
from honed.encodings.scheme import DenseScheme
from honed.errors import ArtifactError, ParameterError, UnsupportedError
from honed.models.base import DecoderModel
from honed.models.registry import read_model
from honed.text.calibration import CALIBRATION_TEXT

if TYPE_CHECKING:
    from honed.compress.recipe import Recipe

CALIBRATION_WINDOW = 128
"""Tokens of a calibration window."""
CALIBRATION_TOKENS = 1024
"""Tokens at most: what the text is with the vocabulary of a trained model. With one of little more than bytes it is
several times as many, which would take as many times as long and show no more of the text."""


@dataclass(frozen=True)
class Progress:
    """`done` of `total` weights are written, `name` last."""

    done: int
    total: int
    name: str


@dataclass(frozen=True)
class CompressReport:
    """What was made. `source_bytes` and `bytes` count the weight files; `notes` say where the recipe gave way."""

    source: str
    path: Path
    source_bytes: int
    bytes: int
    seconds: float
    tensors: tuple[TensorReport, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "path": str(self.path)}


def compress(
    model: str | Path | Checkpoint,
    recipe: str | Path | Mapping[str, Any] | Recipe = "int8",
    *,
    out: str | Path,
    overwrite: bool = False,
    revision: str | None = None,
    threads: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> CompressReport:
    """Compresses a model into the directory `out`.

    model: a name as `honed.load` takes it, or an open checkpoint. recipe: int8, int4, nf4, a .json file or a mapping
    (`compress/recipe.py`). An existing artifact is replaced only with `overwrite`, and then only once the new one is
    complete. The same model and recipe give the same bytes, whatever the number of threads.

    Errors: ParameterError (recipe, threads), SourceError, FormatError (also for NaN and infinity), UnsupportedError,
    ArtifactError (output exists, cannot be written, disk full).
    """
    from honed.compress.recipe import read_recipe

    started = time.perf_counter()
    if threads is not None and threads < 1:
        raise ParameterError("threads", threads, "must be at least 1")
    target = Path(out)
    chosen = read_recipe(recipe)
    check_target(target, overwrite=overwrite, replaceable=is_artifact)
    checkpoint = open_checkpoint(str(model), revision) if isinstance(model, str | Path) else model
    name = str(model) if isinstance(model, str) else checkpoint.path.name
    contents, pipeline = _plan(checkpoint, _public_name(name), chosen, threads or _cpus())
    total, done = len(contents.schemes), 0

    def written(weight: str, _: int) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(Progress(done, total, weight))

    write_artifact(target, contents, overwrite=overwrite, written=written)
    _check_written(target, contents)
    reports = pipeline.reports()
    return CompressReport(
        source=name,
        path=target,
        source_bytes=sum(path.stat().st_size for path in checkpoint.files),
        bytes=layout_of(contents).nbytes,
        seconds=time.perf_counter() - started,
        tensors=reports[-1].tensors,
        notes=tuple(note for report in reports for note in report.notes),
    )


def _plan(checkpoint: Checkpoint, name: str, recipe: Recipe, threads: int) -> tuple[Contents, Pipeline]:
    if checkpoint.kind == "artifact":
        raise UnsupportedError(f"{checkpoint.path}: is compressed already; compress the model that it was made from")
    decoder = read_model(checkpoint.config, checkpoint.path)
    linears = find_linears(decoder)
    head = linears.head_name if recipe.encodes(linears.head_name.removesuffix(".weight")) else None
    source = SourceWeights(decoder, checkpoint.weight, head_apart=head is not None)
    calibration = _calibration_windows(checkpoint, decoder) if recipe.calibrates else []
    pipeline = compress_weights(decoder, source, recipe, threads=threads, calibration=calibration)
    schemes = pipeline.schemes

    def weight(name: str) -> Encoded:
        if isinstance(schemes[name], DenseScheme):
            check_finite(checkpoint.path, name, source[name])
        return pipeline.weight(name)

    def error(name: str) -> float | None:
        return next((line.relative_error for line in pipeline.reports()[-1].tensors if line.name == name), None)

    contents = Contents(
        config=_config(checkpoint.config),
        schemes=schemes,
        shapes={name: source[name].shape for name in schemes},
        linear={weight.name for weight in linears.layers},
        head=head,
        apart={} if head is None else _apart(source, pipeline, linears),
        weight=weight,
        error=error,
        side_files=tokenizer_files(checkpoint),
        provenance=Provenance(
            source=name,
            source_kind=checkpoint.kind,
            source_files={
                path.name: FileRecord(path.stat().st_size, file_sha256(path)) for path in _source_files(checkpoint)
            },
            recipe=recipe.as_json(),
            notes=tuple(note for report in pipeline.reports() for note in report.notes),
            calibration=_calibration_record(calibration),
        ),
    )
    return contents, pipeline


def _apart(source: Weights, pipeline: Pipeline, linears: Linears) -> dict[str, DenseForm | None]:
    """The encoded head and what changed along with it, each with what other tools read instead.

    An untied head is smoothed for them as well, since they read the norm before it. An embedding that is their head
    is not, so what fits the encoded head alone is for them as it was in the source.
    """
    if not linears.tied:
        return {linears.head_name: _dense_form(source[linears.head_name], pipeline.before_last[linears.head_name])}
    return {linears.head_name: None, **{name: _dense_form(source[name], source[name]) for name in pipeline.with_head}}


def _dense_form(stored: Encoded, weight: Encoded) -> DenseForm:
    """A weight in the type in which the source has it."""
    scheme = dense_scheme(stored)
    return DenseForm(scheme, lambda: to_dense(weight, scheme))


def _calibration_windows(checkpoint: Checkpoint, decoder: DecoderModel) -> list[list[int]]:
    """The calibration text in windows of one length, what is left over at its end cut off. Where they are too many, so
    many of them that lie evenly over the text."""
    ids = checkpoint.tokenizer().encode(CALIBRATION_TEXT, add_special=False)
    length = min(CALIBRATION_WINDOW, decoder.dimensions.context, len(ids))
    windows = [ids[first : first + length] for first in range(0, len(ids) - length + 1, length)]
    kept = min(len(windows), max(CALIBRATION_TOKENS // length, 1))
    return [windows[number * len(windows) // kept] for number in range(kept)]


def _calibration_record(windows: list[list[int]]) -> dict[str, Any] | None:
    if not windows:
        return None
    digest = hashlib.sha256(CALIBRATION_TEXT.encode()).hexdigest()
    return {"text": "built-in", "sha256": digest, "windows": len(windows), "window_tokens": len(windows[0])}


def _config(source: Mapping[str, Any]) -> dict[str, Any]:
    """config.json as transformers needs it, whatever the source left out."""
    config = dict(source)
    config.pop("auto_map", None)
    if not config.get("architectures"):
        # The families of models/ are all named so in transformers.
        config["architectures"] = [f"{str(config['model_type']).capitalize()}ForCausalLM"]
    if "dtype" not in config and "torch_dtype" not in config:
        config["dtype"] = "bfloat16"
    return config


def _source_files(checkpoint: Checkpoint) -> tuple[Path, ...]:
    if not checkpoint.path.is_dir():
        return checkpoint.files
    return (*checkpoint.files, checkpoint.path / "config.json")


def _check_written(target: Path, contents: Contents) -> None:
    """Opens what was written, as a user would, and compares it with what was to be written."""
    artifact = Artifact(Directory(target))
    artifact.verify()
    for name, scheme in contents.schemes.items():
        found = artifact.scheme(name)
        if found != scheme:
            raise ArtifactError(f"{target}: {name}: reads back as {found}, not {scheme}")


def _public_name(name: str) -> str:
    """A name for the manifest: a path of this machine says nothing elsewhere, its last part does."""
    return Path(name).name if os.sep in name and Path(name).exists() else name


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
