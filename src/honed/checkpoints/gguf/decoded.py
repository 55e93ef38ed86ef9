"""What a user should know of a file whose blocks no kernel reads: what it takes in memory once it is decoded.

Not here: decoding (`encodings/gguf_blocks.py`), and which blocks run as they are (`encodings/gguf_runs.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from honed.checkpoints.gguf.header import TensorEntry
from honed.encodings.gguf_runs import BLOCK_FORMATS
from honed.notes import note

_BYTES = 2
"""Of a decoded value: they are kept as bfloat16."""


def note_decoded(path: Path, entries: Iterable[TensorEntry]) -> None:
    """One note for all matrices in blocks that are decoded before they are multiplied; none where there are none."""
    found = [
        entry
        for entry in entries
        if entry.format.values > 1 and len(entry.shape) > 1 and entry.format.name not in BLOCK_FORMATS
    ]
    if not found:
        return
    types = " and ".join(sorted({entry.format.name for entry in found}))
    stored = sum(entry.nbytes for entry in found)
    values = sum(math.prod(entry.shape) for entry in found)
    note(
        f"{path}: {len(found)} tensors of {types} are decoded to bfloat16 to be run, and their {_megabytes(stored)} MB "
        f"become {_megabytes(values * _BYTES)}: the same model in Q2_K or larger runs as it lies"
    )


def _megabytes(count: int) -> str:
    return f"{max(count / 1e6, 0.1):,.0f}" if count >= 1e7 else f"{max(count / 1e6, 0.1):.1f}"
