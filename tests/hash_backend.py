"""A backend whose logits are a hash of the context that it reads back from its pages.

Any mistake in page tables, positions, chunking or reuse of pages changes the tokens that come out, and reading a page
that was never written shows as a wrong context. Writing to a page that another sequence of the batch reads fails.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from honed.backends.base import PAGE_TOKENS, Batch, Choice, PageGroup, PlainBatch, RowChoice
from honed.runtime.sampling import choose_row

VOCABULARY = 50
"""Ids that it knows."""


def logits_of(context: list[int]) -> NDArray[np.float32]:
    """The model: a pure function of the tokens so far."""
    digest = hashlib.sha256(np.array(context, dtype=np.int32).tobytes()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little")).normal(size=VOCABULARY).astype(np.float32) * 3


def first_seen(group: PageGroup, position: int) -> int:
    """The first position that a row sees."""
    return 0 if group.window is None else max(0, position - group.window + 1)


class HashBackend:
    """Implements Backend. more: groups of pages beside the first one, each with a window."""

    def __init__(
        self,
        *,
        context: int = 512,
        pages: int = 16,
        step_tokens: int = 64,
        window: int | None = None,
        more: Sequence[PageGroup] = (),
    ) -> None:
        self.context = context
        self.pages = pages
        self.page_groups = (PageGroup(pages, window), *more)
        self.step_tokens = step_tokens
        self.memories = [np.full((group.pages, PAGE_TOKENS), -1, dtype=np.int32) for group in self.page_groups]
        self.memory = self.memories[0]
        self.batches: list[Batch] = []
        self.poison: set[tuple[int, ...]] = set()
        """Contexts whose logits are NaN."""
        self.fail_next = False

    @property
    def name(self) -> str:
        return "hash"

    @property
    def vocabulary(self) -> int:
        return VOCABULARY

    def forward(self, batch: Batch) -> NDArray[np.float32]:
        if self.fail_next:
            self.fail_next = False
            raise RuntimeError("the backend failed")
        self._check(batch)
        self.batches.append(batch)
        for token, position, row in zip(batch.tokens, batch.positions, batch.sequences, strict=True):
            for memory, tables in zip(self.memories, self._tables(batch), strict=True):
                memory[tables[row, position // PAGE_TOKENS], position % PAGE_TOKENS] = token
        rows = [self._logits(batch, int(index)) for index in batch.selected]
        return np.array(rows, dtype=np.float32).reshape(-1, VOCABULARY)

    def _logits(self, batch: Batch, index: int) -> NDArray[np.float32]:
        end = int(batch.positions[index]) + 1
        context: list[int] = []
        for group, memory, tables in zip(self.page_groups, self.memories, self._tables(batch), strict=True):
            table = tables[batch.sequences[index]]
            context += memory[table].reshape(-1)[first_seen(group, end - 1) : end].tolist()
        if tuple(context) in self.poison:
            return np.full(VOCABULARY, np.nan, dtype=np.float32)
        return logits_of(context)

    def _tables(self, batch: Batch) -> NDArray[np.int32]:
        """[groups, sequences, pages]"""
        tables = batch.page_tables
        return np.stack([tables] * len(self.page_groups)) if tables.ndim == 2 else tables

    def _check(self, batch: Batch) -> None:
        count = batch.tokens.size
        assert 0 < count <= self.step_tokens
        for array in (batch.tokens, batch.positions, batch.sequences, batch.page_tables, batch.selected):
            assert array.dtype == np.int32
            assert array.flags.c_contiguous
        assert batch.positions.size == batch.sequences.size == count
        assert batch.tokens.min() >= 0
        assert batch.tokens.max() < VOCABULARY
        assert (np.diff(batch.selected) > 0).all()
        for group, tables in zip(self.page_groups, self._tables(batch), strict=True):
            self._check_group(batch, group, tables)

    def _check_group(self, batch: Batch, group: PageGroup, tables: NDArray[np.int32]) -> None:
        assert tables.min() >= 0
        assert tables.max() < group.pages
        used: list[set[int]] = []
        written: list[set[int]] = []
        for row in range(tables.shape[0]):
            positions = batch.positions[batch.sequences == row]
            assert positions.size
            assert (np.diff(positions) == 1).all()
            assert positions[-1] < self.context
            first = first_seen(group, int(positions[0])) // PAGE_TOKENS
            last = int(positions[-1]) // PAGE_TOKENS
            used.append(set(tables[row, first : last + 1].tolist()))
            assert len(used[-1]) == last + 1 - first, "a sequence has a page twice"
            written.append(set(tables[row, positions[0] // PAGE_TOKENS : last + 1].tolist()))
        for row, pages in enumerate(written):
            assert not any(pages & other for index, other in enumerate(used) if index != row), (
                "a shared page is written"
            )


class ChoosingHashBackend(HashBackend):
    """Implements ChoosingBackend; keeps what it was asked for."""

    choices = 64

    def __init__(
        self,
        *,
        context: int = 512,
        pages: int = 16,
        step_tokens: int = 64,
        window: int | None = None,
        more: Sequence[PageGroup] = (),
    ) -> None:
        super().__init__(context=context, pages=pages, step_tokens=step_tokens, window=window, more=more)
        self.asked: list[list[RowChoice]] = []
        self._computed: NDArray[np.float32] | None = None

    def compute(self, batch: Batch | PlainBatch) -> None:
        self._computed = self.forward(batch.as_arrays() if isinstance(batch, PlainBatch) else batch)
        assert len(self._computed) <= self.choices

    def choose(self, rows: Sequence[RowChoice]) -> list[Choice]:
        assert self._computed is not None
        assert len(rows) == len(self._computed)
        self.asked.append(list(rows))
        logits, self._computed = self._computed, None
        return [choose_row(row, choice) for row, choice in zip(logits, rows, strict=True)]
