"""The models of an evaluation, of either kind: opened, with what an artifact was made from, named for a certificate.

Not here: what is measured of them (`evaluate.py` of models that generate, `evaluate_encoder.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from honed.backends.options import RunOptions
from honed.checkpoints.artifact.manifest import MANIFEST
from honed.checkpoints.base import Checkpoint, Manifested
from honed.checkpoints.content_hash import file_sha256, fingerprint
from honed.checkpoints.open import open_checkpoint
from honed.errors import ArtifactError, SourceError, UnsupportedError
from honed.evaluate.certificate import Subject
from honed.models.base import Config, Model
from honed.plan.formats import DenseFormat, Format

Kind = TypeVar("Kind", bound=Model)
ReadModel = Callable[[Config, Path], Kind]
"""Of `models/registry.py`: a config and the file to name in errors to a model."""


@dataclass(frozen=True)
class Opened(Generic[Kind]):
    name: str
    checkpoint: Checkpoint
    model: Kind

    def subject(self, run: RunOptions) -> Subject:
        files = fingerprint(self.checkpoint.path, self.checkpoint.files)
        return Subject(self.name, run.dtype, run.kv, files)


def checkpoint_fingerprint(name: str, revision: str | None = None) -> str:
    """What identifies the contents of the files that a name leads to."""
    checkpoint = open_checkpoint(name, revision)
    return fingerprint(checkpoint.path, checkpoint.files)


def open_model(name: str, read: ReadModel[Kind]) -> Opened[Kind]:
    checkpoint = open_checkpoint(name)
    return Opened(name, checkpoint, read(checkpoint.config, checkpoint.path))


def open_reference(candidate: Opened[Kind], name: str | None, read: ReadModel[Kind]) -> Opened[Kind]:
    """The model of that name; None: what the candidate was made from, or the candidate itself where it is no artifact.

    Errors: those of opening it; ArtifactError where the recorded source has changed.
    """
    if name is not None:
        return open_model(name, read)
    if not isinstance(candidate.checkpoint, Manifested):
        return candidate
    recorded = candidate.checkpoint.manifest["source"]
    try:
        source = open_model(recorded["name"], read)
    except SourceError as error:
        raise SourceError(f"the source of {candidate.name} cannot be found, so pass a reference: {error}") from error
    for path in source.checkpoint.files:
        if path.name in recorded["files"] and file_sha256(path) != recorded["files"][path.name]["sha256"]:
            raise ArtifactError(
                f"{path}: has changed since {candidate.name} was made from it ({MANIFEST} has another SHA-256); "
                "make the artifact again, or pass a reference"
            )
    return source


def refuse_quantized(name: str, formats: Iterable[Format]) -> None:
    """UnsupportedError for a reference whose weights cannot run in float32."""
    if not all(isinstance(form, DenseFormat) for form in formats):
        raise UnsupportedError(
            f"the reference {name} is quantized and cannot run in float32; "
            "pass the model that it was made from as the reference"
        )
