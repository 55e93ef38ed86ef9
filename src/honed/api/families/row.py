"""A row of the table of families: everything that is claimed of one is tried on tiny random models of it.

Not here: how models are run and compared (`decoders.py`, `encoders.py`), and the table (`table.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from honed.api.compress import compress
from honed.api.families import decoders, encoders
from honed.bench.peers.transformers_logits import is_installed
from honed.checkpoints.base import Checkpoint
from honed.checkpoints.gguf.sample_file import write_sample_file
from honed.checkpoints.open import open_checkpoint
from honed.checkpoints.sample_directory import write_sample
from honed.errors import HonedError
from honed.models.family import Family
from honed.models.registry import FAMILIES, is_encoder
from honed.models.samples import sample_configs
from honed.plan.formats import DensePolicy

Outcome = Literal["yes", "no", "-"]
"""Tried and right, tried and wrong, nothing to try."""
COLUMNS = ("safetensors", "GGUF", "int8", "int4", "nf4", "parity")


@dataclass(frozen=True)
class Most:
    """How far a model of a few thousand random weights may be from itself with a recipe: its divergence, and its
    results in parts of their deviation."""

    divergence: float
    off: float


RECIPES = {"int8": Most(0.01, 0.15), "int4": Most(0.1, 0.5), "nf4": Most(0.1, 0.5)}
PARITY = 1e-4
"""Of the spread of what transformers gives."""
_DTYPES: tuple[DensePolicy, ...] = ("float32", "auto")


@dataclass
class Row:
    """What came of each column, why where it is no, and what was measured on the way."""

    model_type: str
    covers: str
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    measured: dict[str, float] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether nothing that was tried went wrong."""
        return "no" not in self.outcomes.values()

    def as_json(self) -> dict[str, Any]:
        return {
            "model_type": self.model_type,
            "covers": self.covers,
            **self.outcomes,
            "problems": self.problems,
            "measured": self.measured,
        }


def try_family(model_type: str, folder: Path) -> Row:
    """Tries a family in an empty folder. What goes wrong there is in the row."""
    family = FAMILIES[model_type]
    row = Row(model_type, family.covers, dict.fromkeys(COLUMNS, "-"))
    configs = sample_configs(family)
    with decoders.quiet():
        sources = [write_sample(folder / f"sample-{number}", family, config) for number, config in enumerate(configs)]
        if not sources:
            row.problems["safetensors"] = "the family lists no samples"
            return row
        kind = encoders if is_encoder(configs[0]) else decoders
        _tried(row, "safetensors", partial(_bits, kind, sources))
        if family.gguf is not None:
            _tried(row, "GGUF", partial(_gguf, family, sources[0], folder))
        for recipe in RECIPES:
            _tried(row, recipe, partial(_recipe, row, kind, recipe, sources[0], folder))
        if is_installed():
            _tried(row, "parity", partial(_parity, row, kind, sources))
    return row


def _tried(row: Row, column: str, attempt: Callable[[], str | None]) -> None:
    """Runs what gives a problem, or None."""
    try:
        problem = attempt()
    except HonedError as error:
        problem = str(error)
    row.outcomes[column] = "yes" if problem is None else "no"
    if problem is not None:
        row.problems[column] = problem


def _same(kind: ModuleType, checkpoint: Checkpoint, dtype: DensePolicy) -> bool:
    same: bool = kind.same_rows(checkpoint, dtype) if kind is encoders else kind.same_bits(checkpoint, dtype)
    return same


def _bits(kind: ModuleType, sources: list[Path]) -> str | None:
    for source in sources:
        checkpoint = open_checkpoint(str(source))
        for dtype in _DTYPES:
            if not _same(kind, checkpoint, dtype):
                return f"{source.name} in {dtype}: the native engine and the interpreter differ"
    return None


def _gguf(family: Family, source: Path, folder: Path) -> str | None:
    checkpoint = open_checkpoint(str(source))
    file = open_checkpoint(str(write_sample_file(folder / "sample.gguf", family, checkpoint)))
    same = decoders.same_logits(file, checkpoint)
    return None if same else "the file gives other logits than the directory that it was made of"


def _recipe(row: Row, kind: ModuleType, recipe: str, source: Path, folder: Path) -> str | None:
    compress(source, recipe, out=folder / recipe, threads=1)
    artifact, checkpoint = open_checkpoint(str(folder / recipe)), open_checkpoint(str(source))
    encodings = {artifact.weight(name).kind for name in artifact.names}
    if encodings == {"dense"}:
        return "the recipe encodes nothing"
    if not _same(kind, artifact, "auto"):
        return "the native engine and the interpreter differ"
    divergence, off = kind.divergence(artifact, checkpoint)
    row.measured |= {recipe: divergence, f"{recipe} off": off}
    most = RECIPES[recipe]
    fits = divergence <= most.divergence and off <= most.off  # neither of NaN
    return None if fits else f"diverges by {divergence:.3g}, off by {off:.3g} of the deviation"


def _parity(row: Row, kind: ModuleType, sources: list[Path]) -> str | None:
    distances = [float(kind.distance(open_checkpoint(str(source)), source)) for source in sources]
    row.measured["parity"] = max(distances)
    return None if max(distances) <= PARITY else f"{max(distances):.3g} of the spread from transformers"
