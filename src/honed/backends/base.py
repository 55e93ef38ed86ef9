"""What runs a model: interfaces only.

A backend takes ragged batches: the tokens of several sequences back to back, prefill and decode mixed, each
sequence's keys and values in pages of a cache that the backend owns. `runtime/` knows this file and no other
backend.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from honed.later import numpy as np
from honed.records import dataclass

if TYPE_CHECKING:
    from numpy.typing import NDArray


PAGE_TOKENS = 32
"""Tokens of one KV page, the same for every backend."""


@dataclass(frozen=True)
class Batch:
    """One step. T token rows, S sequences, R rows whose logits are asked for.

    tokens, positions, sequences: int32 [T]; `sequences[t]` is the row of `page_tables` that token t belongs to.
    page_tables: int32 [S, pages]; entry i of a row is the page of positions 32 i to 32 i + 31.
    selected: int32 [R], indices into the T rows, ascending.
    The tokens of one sequence stand in ascending position; all earlier positions are already in its pages.
    """

    tokens: NDArray[np.int32]
    positions: NDArray[np.int32]
    sequences: NDArray[np.int32]
    page_tables: NDArray[np.int32]
    selected: NDArray[np.int32]


@dataclass(frozen=True)
class PlainBatch:
    """A `Batch` as views of int32 in memory, made without numpy: where the backend chooses the tokens nobody else needs
    arrays, and a start gets by without importing it."""

    tokens: memoryview
    positions: memoryview
    sequences: memoryview
    page_tables: memoryview
    selected: memoryview

    def as_arrays(self) -> Batch:
        """The same memory."""
        return Batch(
            tokens=np.asarray(self.tokens),
            positions=np.asarray(self.positions),
            sequences=np.asarray(self.sequences),
            page_tables=np.asarray(self.page_tables),
            selected=np.asarray(self.selected),
        )


class Backend(Protocol):
    """A loaded model. Not safe for two threads at once."""

    @property
    def name(self) -> str:
        """native, pytorch, ..."""

    @property
    def vocabulary(self) -> int:
        """Columns of the logits."""

    @property
    def context(self) -> int:
        """Positions that the model was made for."""

    @property
    def pages(self) -> int:
        """Pages of the KV cache, numbered from 0."""

    @property
    def step_tokens(self) -> int:
        """The largest T of one batch."""

    def forward(self, batch: Batch) -> NDArray[np.float32]:
        """Logits [R, vocabulary] of the selected rows; keys and values are written to the pages on the way."""


@runtime_checkable
class GreedyBackend(Backend, Protocol):
    """A backend that also chooses, where the greatest logit is all that is asked for."""

    def greedy(self, batch: Batch | PlainBatch) -> list[int] | None:
        """The token with the greatest logit for each selected row, the lowest id among equals: argmax of `forward`.

        None where it cannot say (logits that are not finite, more rows than it takes): `forward` then can.
        """
