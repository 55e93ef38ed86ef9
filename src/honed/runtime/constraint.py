"""Which tokens may follow: what the engine asks of a grammar. Not here: grammars themselves (`text/grammar.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Constraint(Protocol):
    """The state of one request. Not safe for two threads at once; `masks` may be called on a thread of a pool, while
    nothing else is."""

    def masks(self, proposal: Sequence[int]) -> NDArray[np.uint32]:
        """uint32 [1 + k, words]: row i has the tokens that may follow once the first i of the proposal were accepted,
        token t as bit t % 32 of word t // 32. k is the length of the proposal, or of its longest allowed beginning.
        The state stays as it is. Words beyond the vocabulary of the grammar are absent: those tokens are not allowed.
        """

    def accept(self, token: int) -> None:
        """Takes the token that was chosen, which `masks` allowed (a stop token where one is)."""

    def forced(self) -> list[int]:
        """Tokens that the grammar says must come next, as far as it knows; used as a proposal, so they need not be the
        ones that are chosen."""

    @property
    def ended(self) -> bool:
        """Whether nothing may follow but a stop token: the request then ends with reason stop."""
