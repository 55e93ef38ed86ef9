"""`honed.export`: a model to a file that other tools run, GGUF."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from honed.api.load import check_model
from honed.checkpoints.artifact.target import check_apart, read_output
from honed.checkpoints.base import Checkpoint
from honed.checkpoints.gguf.export import export_gguf
from honed.checkpoints.gguf.tensor_plan import TYPES, TensorType
from honed.checkpoints.open import open_checkpoint
from honed.errors import ParameterError
from honed.parameters import checks_names, choice, flag, function, location

SUFFIX = ".gguf"


@dataclass(frozen=True)
class ExportReport:
    """What was written. source_bytes and bytes: of the weight files. types: bytes of each type of tensor. notes: what
    is not as the source has it."""

    source: str
    path: Path
    source_bytes: int
    bytes: int
    types: dict[str, int]
    seconds: float
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "path": str(self.path), "notes": list(self.notes)}


@checks_names
def export(
    model: str | Path | Checkpoint,
    *,
    out: str | Path,
    tensor_type: TensorType = "auto",
    overwrite: bool = False,
    revision: str | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> ExportReport:
    """Writes a model as the GGUF file `out`, which llama.cpp and honed run.

    model: a name as `honed.load` takes it, or an open checkpoint: an artifact, a directory, a GGUF file. tensor_type:
    `auto` keeps every weight as it is stored, where GGUF has blocks for that (int8, int4 and codebooks have); another
    one rounds every matrix as ggml's reference does, or to floats. overwrite: an existing GGUF file is replaced, in one
    step once the new one is complete. progress: called with tensors done, tensors in all, and a name.

    Errors: ParameterError (out, tensor_type), SourceError, FormatError (values that are not finite), UnsupportedError
    naming what a GGUF file cannot say of the model or its tokenizer, ArtifactError (out exists, or cannot be written),
    MachineError (the disk is too full).
    """
    started = time.perf_counter()
    function("progress", progress)
    overwrite = flag("overwrite", overwrite)
    asked: Any = choice("tensor_type", tensor_type, TYPES)
    target = read_output(location("out", out))
    if target.suffix != SUFFIX:
        raise ParameterError("out", str(target), f"must end in {SUFFIX}, the one format that is written")
    check_model("model", model, revision)
    checkpoint = open_checkpoint(str(model), revision) if isinstance(model, str | Path) else model
    check_apart(target, checkpoint.path, checkpoint.files)
    told = {} if progress is None else {"progress": progress}
    written = export_gguf(checkpoint, target, asked, overwrite=overwrite, **told)
    return ExportReport(
        source=str(model) if isinstance(model, str | Path) else str(checkpoint.path),
        path=target,
        source_bytes=sum(file.stat().st_size for file in checkpoint.files),
        bytes=written.bytes,
        types=dict(written.types),
        seconds=time.perf_counter() - started,
        notes=written.notes,
    )
