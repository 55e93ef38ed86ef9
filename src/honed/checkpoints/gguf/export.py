"""Any checkpoint of a family with names in GGUF files as one such file.

Everything that can be refused is, before a weight is read: what the keys cannot say of the model, or of its tokenizer,
is found by reading the header back. Not here: which tensor becomes what (`tensor_plan.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from honed.checkpoints.base import Checkpoint, Checksummed
from honed.checkpoints.gguf.checkpoint import GgufCheckpoint
from honed.checkpoints.gguf.config import ARCHITECTURES
from honed.checkpoints.gguf.file_writer import FileLayout
from honed.checkpoints.gguf.model_keys import model_keys, rotary_factors
from honed.checkpoints.gguf.said_back import check_same
from honed.checkpoints.gguf.staged_file import check_file_target, staged_file
from honed.checkpoints.gguf.tensor_plan import PlannedTensor, TensorType, plan_tensors
from honed.checkpoints.gguf.tokenizer_keys import check_tokenizer, copied_keys, tokenizer_keys
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.encodings.gguf_blocks import GgufBlocks
from honed.encodings.tied_table import TiedTable
from honed.errors import FormatError, UnsupportedError
from honed.models.base import Model
from honed.models.factored import FACTORS_FIELD
from honed.models.registry import family_of, read_model
from honed.records import dataclass

_FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q4_K": 14, "IQ4_NL": 25, "BF16": 32, "MXFP4": 38}
"""llama.cpp's numbers of what most of a file is (LLAMA_FTYPE of llama.h)."""
_HEAD = "lm_head.weight"


@dataclass(frozen=True)
class ExportedFile:
    """bytes: of the file. types: how many bytes are of each type. notes: what is not as the source has it."""

    bytes: int
    types: Mapping[str, int]
    notes: tuple[str, ...]


def export_gguf(
    checkpoint: Checkpoint,
    target: Path,
    asked: TensorType = "auto",
    *,
    overwrite: bool = False,
    progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> ExportedFile:
    """progress: called with tensors done, tensors in all, and the name of the one that was written.

    Errors: UnsupportedError, naming it, for what a GGUF file cannot say; FormatError for values that are not finite;
    ArtifactError and MachineError as of `staged_file`, the first also where checksums of an artifact differ.
    """
    check_file_target(target, overwrite=overwrite)
    source = _Source(checkpoint)
    family = family_of(source.config, checkpoint.path)
    if family.gguf is None:
        raise UnsupportedError(
            f"{checkpoint.path}: model_type {family.model_type} has no GGUF architecture here; those that have are of "
            f"{', '.join(ARCHITECTURES)}"
        )
    if source.config.get(FACTORS_FIELD):
        raise UnsupportedError(f"{checkpoint.path}: {FACTORS_FIELD}: low-rank layers have no tensors in GGUF files")
    model: Model = read_model(source.config, checkpoint.path)
    tensors = plan_tensors(family, source.config, model, source.weight, asked)
    keys = model_keys(family, source.config, model)
    if isinstance(checkpoint, GgufCheckpoint):
        keys |= copied_keys(checkpoint.header.metadata)
    else:
        keys |= tokenizer_keys(checkpoint.tokenizer(), model.dimensions.vocabulary, checkpoint.path)
    by_type: Counter[str] = Counter()
    for planned in tensors:
        by_type[planned.written.format.name] += planned.written.nbytes
    most = by_type.most_common(1)[0][0]
    if most in _FILE_TYPES:
        keys["general.file_type"] = _FILE_TYPES[most]
    keys |= {"general.name": checkpoint.path.name, "general.quantization_version": 2}
    layout = FileLayout(keys, tensors, rotary_factors(source.config, model))
    notes = _Notes(source.weight, asked)
    done = 0

    def written(planned: PlannedTensor, error: float) -> None:
        nonlocal done
        done += 1
        notes.add(planned, error)
        progress(done, len(tensors), planned.written.name)

    with staged_file(target, needed=layout.nbytes, overwrite=overwrite) as (file, partial):
        layout.write_header(file)
        read = _read_back(partial, target)
        check_same(model, read_model(read.config, partial), family.gguf.architecture)
        check_tokenizer(checkpoint.tokenizer(), read.tokenizer(), checkpoint.path)
        layout.write_tensors(file, source.weight, written)
        if isinstance(checkpoint, Checksummed):
            checkpoint.verify()
    return ExportedFile(layout.nbytes, dict(by_type), notes.told())


def _read_back(partial: Path, target: Path) -> GgufCheckpoint:
    """The file as long as it has no weights yet. What its reader refuses is what the format cannot say."""
    try:
        return GgufCheckpoint(partial)
    except (FormatError, UnsupportedError) as error:
        raise UnsupportedError(str(error).replace(str(partial), str(target))) from None


class _Source:
    """The config and weights of a checkpoint. A tied table whose head was smoothed apart from it is two matrices."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self.config: Mapping[str, Any] = checkpoint.config
        self._head: Encoded | None = None
        family = family_of(self.config, checkpoint.path)
        if family.table in checkpoint.names:
            table = checkpoint.weight(family.table)
            if isinstance(table, TiedTable) and (table.factors != 1).any():
                self._head = table.head
                self.config = {**self.config, "tie_word_embeddings": False}

    def weight(self, name: str) -> Encoded:
        if name == _HEAD and self._head is not None:
            return self._head
        found = self._checkpoint.weight(name)
        return found.head if isinstance(found, TiedTable) and self._head is None else found


class _Notes:
    """What a user should know of the file, gathered while it is written."""

    def __init__(self, weight: Callable[[str], Encoded], asked: TensorType) -> None:
        self._weight = weight
        self._asked = asked
        self._moved: dict[str, list[float]] = {}
        self._decoded: dict[str, list[str]] = {}

    def add(self, planned: PlannedTensor, error: float) -> None:
        found = planned.written.format.name
        if error:
            self._moved.setdefault(found, []).append(error)
        if planned.kept:
            return
        for name, _ in planned.pieces:
            encoded = self._weight(name)
            if not isinstance(encoded, Dense | GgufBlocks) and self._asked == "auto":
                self._decoded.setdefault(f"{encoded.kind} as {found}", []).append(name)

    def told(self) -> tuple[str, ...]:
        moved = [
            f"{len(errors)} matrices became {name} with a scale or minimum rounded to float16: values are off by at "
            f"most {max(errors):.2g} of the largest of their matrix"
            for name, errors in self._moved.items()
        ]
        decoded = [
            f"{_shown(names)} written decoded, {kinds}: no block of a GGUF file has the same values"
            for kinds, names in self._decoded.items()
        ]
        return (*moved, *decoded)


def _shown(names: list[str]) -> str:
    return f"{names[0]} was" if len(names) == 1 else f"{len(names)} weights, {names[0]} the first, were"
