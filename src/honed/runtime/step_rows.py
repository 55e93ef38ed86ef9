"""What is asked of the backend for the selected rows of a step, chunk by chunk.

A chunk whose request has a fault of its own (a sampler, constraint or mask that raises) gets rows that ask for nothing,
so that the others go on as if it were sound.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from honed.backends.base import RowChoice
from honed.runtime.batch import Chunk
from honed.runtime.masks import MaskMaker

if TYPE_CHECKING:
    from concurrent.futures import Future

    import numpy as np
    from numpy.typing import NDArray

_NOTHING = RowChoice()


class StepRows:
    """Of one step: `begin` before it is computed, `rows` meanwhile or after. `faults`: of requests, by their id."""

    def __init__(self, masks: MaskMaker) -> None:
        self._maker = masks
        self._masks: dict[int, Future[NDArray[np.uint32]]] = {}
        self.faults: dict[int, Exception] = {}

    def begin(self, chunks: list[Chunk]) -> None:
        """Has the masks made on other threads."""
        for chunk in chunks:
            constraint = chunk.sequence.request.constraint
            if constraint is not None and chooses(chunk):
                self._masks[chunk.sequence.id] = self._maker.start(constraint, chunk.proposed)

    def finish(self) -> None:
        """Waits for the masks whatever became of them: nobody else may use the constraints before."""
        for mask in self._masks.values():
            mask.exception()

    def rows(self, chunks: list[Chunk]) -> list[RowChoice]:
        """For each selected row, in their order: first those that score the prompt, then those that choose."""
        rows: list[RowChoice] = []
        for chunk in chunks:
            try:
                asked = list(self._asked(chunk))
            except Exception as error:
                self.faults[chunk.sequence.id] = error
                asked = [_NOTHING] * chunk.selected
            rows += asked
        return rows

    def _asked(self, chunk: Chunk) -> Iterator[RowChoice]:
        sequence = chunk.sequence
        request = sequence.request
        for row in chunk.scored:
            yield RowChoice(score=sequence.tokens[chunk.start + row + 1], logprobs=request.prompt_logprobs)
        if not chooses(chunk):
            if chunk.completes:
                yield _NOTHING
            return
        sampler, proposed = sequence.sampler, chunk.proposed
        banned = request.min_tokens - sequence.generated
        mask = self._masks.get(sequence.id)
        masks = None if mask is None else mask.result()
        for accepted in range(len(proposed) + 1):
            if masks is not None and accepted == len(masks):
                # The constraint refuses the proposal before: no token is chosen here.
                yield from [_NOTHING] * (len(proposed) + 1 - accepted)
                return
            yield sampler.row(
                proposed[:accepted],
                mask=None if masks is None else masks[accepted],
                banned=request.stop_tokens if accepted < banned else (),
            )


def chooses(chunk: Chunk) -> bool:
    """Whether a token is wanted: not of one that only scores its prompt."""
    return chunk.completes and chunk.sequence.limit > 0
