"""`honed.train`: a head, adapters that become part of the weights, or all weights of a model, on a labelled file.

What comes of it is a directory as Hugging Face writes it. Here: the order of things, and what is written. Not here:
what may be asked for (`train_options.py`), encoders (`train_encoder.py`), dialogues (`train_dialogues.py`), and the
training itself (`compress/training/`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed.api.train_options import Method, TrainOptions, TrainTask, check_options, settings_of
from honed.backends.options import check_threads
from honed.checkpoints.artifact.staging import check_target
from honed.checkpoints.artifact.tokenizer_files import COPIED, tokenizer_files
from honed.checkpoints.content_hash import file_sha256
from honed.checkpoints.huggingface.write_directory import write_directory
from honed.checkpoints.open import open_checkpoint
from honed.errors import MachineError, ParameterError
from honed.native import extension
from honed.notes import note
from honed.version import __version__

if TYPE_CHECKING:
    from honed.compress.training.loop import Moment
    from honed.compress.training.settings import FittingSettings

REPORT = "training.json"
"""What is written of a training beside the weights that came of it."""
_STATE, _LOG = "state.pt", "log.jsonl"


@dataclass(frozen=True)
class TrainReport:
    """found: by the names of the scores, on the data that was held out, of the weights that are written. step: where
    those were, of `steps` that were made."""

    path: str
    source: str
    task: TrainTask
    method: Method
    labels: tuple[str, ...]
    examples: int
    held_out: int
    found: Mapping[str, float]
    step: int
    steps: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "labels": list(self.labels), "found": dict(self.found)}


def train(
    model: str | Path,
    task: TrainTask,
    data: str | Path,
    validation: str | Path,
    out: str | Path,
    *,
    options: TrainOptions | None = None,
    teacher: str | Path | None = None,
    resume: bool = False,
    restart: bool = False,
    threads: int | None = None,
    revision: str | None = None,
    progress: Callable[[Moment], None] | None = None,
) -> TrainReport:
    """Trains a model on a labelled file, and writes the weights that did best on the one to validate by.

    text-classification and token-classification take an encoder, with a head or without one, which is made then.
    text-generation takes a model that generates and rows of `messages`; the turns of the assistant are learned.
    teacher: a model with the same labels, whose logits are learned along with them.

    The state of the training and its log are kept in a folder beside `out`, from which `resume` goes on to the same
    bits; `restart` discards it. Errors: ParameterError, SourceError, FormatError naming the row, UnsupportedError for a
    model that cannot be trained so, ArtifactError where `out` is there, MachineError without torch.
    """
    options = options or TrainOptions()
    check_options(task, options, teacher=teacher)
    settings = settings_of(options)
    if find_spec("torch") is None:
        raise MachineError("training needs torch, which is not installed: pip install 'honed[train]'")
    from honed.api.train_dialogues import prepare_dialogues
    from honed.api.train_encoder import prepare_labelled

    target, began = Path(out), time.monotonic()
    check_target(target, replaces="nothing")
    count = check_threads(threads) or extension.default_threads()
    folder = _folder(target, resume=resume, restart=restart)
    checkpoint = open_checkpoint(str(model), revision)
    files = (Path(data), Path(validation))
    if task == "text-generation":
        prepared = prepare_dialogues(checkpoint, files, options)
    else:
        prepared = prepare_labelled(checkpoint, task, files, options, teacher=teacher, threads=count)
    fitted = prepared.fit(settings, folder, count, progress)
    report = TrainReport(
        path=str(target),
        source=str(model),
        task=task,
        method=options.method,
        labels=prepared.labels,
        examples=prepared.examples,
        held_out=prepared.held_out,
        found=fitted.found,
        step=fitted.step,
        steps=fitted.steps,
        seconds=round(time.monotonic() - began, 1),
    )
    side = {name: content for name, content in tokenizer_files(checkpoint).items() if name in COPIED}
    side[REPORT] = _document(report, settings, files, teacher)
    write_directory(target, prepared.config, fitted.weights, side, notes=note)
    (folder / _STATE).unlink(missing_ok=True)
    return report


def _folder(target: Path, *, resume: bool, restart: bool) -> Path:
    """Where the training is kept. ParameterError where one was interrupted there, and nobody said what to do."""
    folder = target.with_name(f"{target.name}.training")
    state = folder / _STATE
    if resume:
        return folder
    if state.exists() and not restart:
        problem = f"a training was interrupted there ({state}): go on with it (resume), or begin anew (restart)"
        raise ParameterError("output", str(target), problem)
    for name in (_STATE, _LOG):
        (folder / name).unlink(missing_ok=True)
    return folder


def _document(
    report: TrainReport, settings: FittingSettings, files: tuple[Path, Path], teacher: str | Path | None
) -> bytes:
    """How the weights came about."""
    document = {
        "honed": __version__,
        **{name: value for name, value in report.as_json().items() if name != "path"},
        "settings": settings.model_dump(mode="json"),
        "data": {path.name: file_sha256(path) for path in files},
        "teacher": None if teacher is None else str(teacher),
    }
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
