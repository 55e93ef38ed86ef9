"""Where passes keep what they have made, so that work that was interrupted goes on from there. Interfaces only.

`compress` reads no files: who runs a recipe says where such a store is, and whether what it holds belongs to this very
model, recipe and calibration (`api/compress_job.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from honed.encodings.base import Encoded


class PassStore(Protocol):
    """What one pass of a recipe has made so far."""

    def load(self, name: str) -> Encoded | None:
        """A weight as it was saved, in the same encoding or, where an artifact has none like it, in float32. None if it
        was not, or is damaged."""

    def save(self, name: str, weight: Encoded) -> None:
        """Keeps a weight. It is there whole or not at all, whenever the process ends."""

    def directory(self) -> Path:
        """A directory of this pass alone, for a state of its own kind, as a training has; made if it is not there."""


class ProgressStore(Protocol):
    """Those of all passes of a recipe."""

    def of_pass(self, number: int) -> PassStore:
        """Of the pass at this place of the recipe, from 0."""


MadeProgress = Callable[[str, int, int], None]
"""Called with the name of a pass, and weights that it has made of how many. What was kept by an earlier run counts as
made when it is read."""
