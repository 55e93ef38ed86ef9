"""The rows of a step, and the batch made of them. Not here: which rows there are (`scheduler.py`)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from honed.backends.base import PlainBatch
from honed.runtime.sequence import Sequence


class Chunk:
    """The next `count` tokens of a sequence, and `proposed` ones that may follow them.

    Its selected rows are, in this order: those that score the prompt, then, if the chunk completes, the last of the
    `count`, and one for every proposed token. Of the rows of the chunk, those in `scored` score: row i has the logits
    of the position after that of token `start` + i.
    """

    __slots__ = ("completes", "count", "proposed", "scored", "sequence", "start")

    def __init__(
        self, sequence: Sequence, count: int, proposed: tuple[int, ...] = (), scored: range = range(0)
    ) -> None:
        self.sequence = sequence
        self.start = sequence.computed
        """The position of its first row."""
        self.count = count
        self.proposed = proposed
        self.scored = scored
        self.completes = count == sequence.to_compute
        """Whether the sequence is computed to its end by this chunk, so that a token can be chosen."""

    @property
    def selected(self) -> int:
        """Rows whose logits are asked for."""
        return len(self.scored) + self.completes + len(self.proposed)

    def advance(self, accepted: int = 0) -> None:
        """After the step: its tokens are computed, and the first `accepted` of the proposed ones, which the caller
        appends to the tokens of the sequence. A proposal counts once: it is gone from the sequence now."""
        sequence = self.sequence
        sequence.computed = self.start + self.count + accepted
        if self.scored:
            sequence.scored = self.start + self.scored.stop
        if sequence.proposal:
            sequence.proposal = []


def make_batch(chunks: Iterable[Chunk]) -> PlainBatch:
    """The batch of a step. Logits are selected as `Chunk` says, chunk after chunk."""
    chunks = list(chunks)
    width = max([len(chunk.sequence.pages) for chunk in chunks])
    # Entries past a sequence's pages are never read; 0 is a page that always exists.
    padding = array("i", bytes(4 * width))
    groups = len(chunks[0].sequence.windows)
    tables, tokens, positions, sequences, selected = (array("i") for _ in range(5))
    for row, chunk in enumerate(chunks):
        sequence, start, count = chunk.sequence, chunk.start, chunk.count
        tables.extend(sequence.pages)
        tables.extend(padding[len(sequence.pages) :])
        if count == 1 and not chunk.proposed:
            if chunk.completes or chunk.scored:
                selected.append(len(tokens))
            tokens.append(sequence.tokens[start])
            positions.append(start)
            sequences.append(row)
            continue
        first, rows = len(tokens), count + len(chunk.proposed)
        selected.extend(range(first + chunk.scored.start, first + chunk.scored.stop))
        if chunk.completes:
            selected.extend(range(first + count - 1, first + rows))
        tokens.extend(sequence.tokens[start : start + count])
        tokens.extend(chunk.proposed)
        positions.extend(range(start, start + rows))
        sequences.extend([row] * rows)
    for group in range(groups):
        for chunk in chunks:
            pages = chunk.sequence.windows[group].pages
            tables.extend(pages)
            tables.extend(padding[len(pages) :])
    shape = (1 + groups, len(chunks), width) if groups else (len(chunks), width)
    return PlainBatch(
        tokens=memoryview(tokens),
        positions=memoryview(positions),
        sequences=memoryview(sequences),
        page_tables=memoryview(tables).cast("B").cast("i", shape),
        selected=memoryview(selected),
    )
