"""What a user should know of a table that no kernel reads as it lies: what it takes in memory once it is decoded.

Matrices run in the blocks of the file (`encodings/gguf_runs.py`), in panels of their own; rows of a table are looked up
in the blocks themselves, or in bfloat16. Not here: decoding (`encodings/gguf_blocks.py`).
"""

from __future__ import annotations

import math
from pathlib import Path

from honed.checkpoints.gguf.header import TensorEntry
from honed.encodings.gguf_runs import DECODED_TABLES
from honed.notes import note

_BYTES = 2
"""Of a decoded value."""


def note_decoded(path: Path, table: TensorEntry) -> None:
    """A note where the table of tokens is decoded."""
    if table.format.name.startswith(DECODED_TABLES):
        decoded = math.prod(table.shape) * _BYTES
        note(
            f"{path}: {table.name}: is {table.format.name}, in which no rows are looked up: it is decoded to bfloat16, "
            f"and its {table.nbytes / 1e6:.1f} MB become {decoded / 1e6:.1f}"
        )
