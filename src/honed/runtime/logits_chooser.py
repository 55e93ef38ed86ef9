"""Choosing for backends that only give logits: `ChoosingBackend.compute` and `choose` over `Backend.forward`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from honed.backends.base import Backend, Batch, Choice, ChoosingBackend, PlainBatch, RowChoice
from honed.runtime.sampling import choose_row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Chooser(Protocol):
    """What the engine needs of a backend for a step; explained at `ChoosingBackend`."""

    @property
    def choices(self) -> int: ...

    def compute(self, batch: Batch | PlainBatch) -> None: ...

    def choose(self, rows: Sequence[RowChoice]) -> list[Choice]: ...


class LogitsChooser:
    """Chooses from the logits of a backend, a row after the other. Implements `Chooser`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._logits: NDArray[np.float32] | None = None

    @property
    def choices(self) -> int:
        """A batch may ask for the logits of all its rows."""
        return self._backend.step_tokens

    def compute(self, batch: Batch | PlainBatch) -> None:
        """Runs the batch and keeps its logits."""
        self._logits = self._backend.forward(batch.as_arrays() if isinstance(batch, PlainBatch) else batch)

    def choose(self, rows: Sequence[RowChoice]) -> list[Choice]:
        """The tokens of the last batch. Its logits are let go."""
        logits, self._logits = self._logits, None
        if logits is None:
            raise RuntimeError("tokens can be chosen once for each batch that was computed")
        return [choose_row(row, choice) for row, choice in zip(logits, rows, strict=True)]


def chooser_of(backend: Backend) -> Chooser:
    """The backend itself where it chooses."""
    return backend if isinstance(backend, ChoosingBackend) else LogitsChooser(backend)
