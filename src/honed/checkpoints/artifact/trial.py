"""Tries to write where an artifact will be, before the hours of work that it takes to make it.

A small file of the form of its weight files goes through all that the whole one will: the lock, the hidden directory,
room on the disk, writing, reading back. Then it is gone. Not here: what is refused without trying (`target.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from honed.checkpoints.artifact.envelope import Replaces
from honed.checkpoints.artifact.layout import METADATA
from honed.checkpoints.artifact.staging import staged_directory
from honed.checkpoints.safetensors.reader import SafetensorsFile
from honed.checkpoints.safetensors.spec import TensorSpec
from honed.checkpoints.safetensors.writer import SafetensorsWriter
from honed.errors import ArtifactError

_NAME = "trial"
_VALUES = 4096


class _TriedError(Exception):
    """Ends the trial, so that nothing comes into place."""


def try_to_write(
    target: Path, *, needed: int, replaces: Replaces, notes: Callable[[str], None] = lambda _: None
) -> None:
    """`needed` bytes must be free. notes: is told what `staged_directory` has to say.

    Errors: as `staged_directory`; ArtifactError where other bytes come back.
    """
    try:
        with staged_directory(target, needed=needed, replaces=replaces, notes=notes) as directory:
            _write_and_read(directory / "model.safetensors", target)
            raise _TriedError
    except _TriedError:
        pass


def _write_and_read(path: Path, target: Path) -> None:
    spec = TensorSpec(_NAME, "I32", (_VALUES,))
    values = np.arange(_VALUES, dtype=np.int32)
    with SafetensorsWriter(path, [spec], METADATA) as writer:
        writer.write(_NAME, values)
    if not np.array_equal(SafetensorsFile(path).tensor(_NAME), values):
        raise ArtifactError(f"{target}: what is written there reads back as something else; choose another output")
