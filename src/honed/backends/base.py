"""What runs a model: interfaces only.

A backend takes ragged batches: the tokens of several sequences back to back, prefill and decode mixed, each
sequence's keys and values in pages of a cache that the backend owns. `runtime/` knows this file and no other
backend.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from honed.backends.options import RunOptions
from honed.checkpoints.base import Checkpoint
from honed.lazy_imports import numpy as np
from honed.records import dataclass

if TYPE_CHECKING:
    from numpy.typing import NDArray


PAGE_TOKENS = 32
"""Tokens of one KV page, the same for every backend."""


def span_pages(positions: int) -> int:
    """Pages that so many positions in a row lie in at most."""
    return -(-(positions - 1) // PAGE_TOKENS) + 1


@dataclass(frozen=True)
class PageGroup:
    """Layers whose keys and values lie in pages together.

    pages: numbered from 0. window: keys that a row sees, its own included: earlier ones are never read again; None:
    all. enough: pages that are used before contents that nobody holds are given up; the others, which may never have
    been touched, are for more sequences than the cache was made for. None: all of them.
    """

    pages: int
    window: int | None = None
    enough: int | None = None


@dataclass(frozen=True)
class Batch:
    """One step. T token rows, S sequences, R rows whose logits are asked for.

    tokens, positions, sequences: int32 [T]; `sequences[t]` is the row of `page_tables` that token t belongs to.
    page_tables: int32 [G, S, pages], of each group of `Backend.page_groups`; entry i of a row is the page of positions
    32 i to 32 i + 31. Or [S, pages]: the same for every group.
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
        """Pages of the KV cache: of the first group, which bounds how long a sequence may be."""

    @property
    def page_groups(self) -> tuple[PageGroup, ...]:
        """One or more: the layers that see furthest, then those with smaller and smaller windows."""

    @property
    def step_tokens(self) -> int:
        """The largest T of one batch."""

    def forward(self, batch: Batch) -> NDArray[np.float32]:
        """Logits [R, vocabulary] of the selected rows; keys and values are written to the pages on the way."""


class BackendClass(Protocol):
    """How a backend is made: what the class that stands in `registry.py` offers."""

    @staticmethod
    def configure(options: RunOptions, kv_tokens: int | None) -> Any:
        """Its own settings, of which `RunOptions` says some. kv_tokens: of its cache, None for its own choice.

        ParameterError for what this machine cannot do.
        """

    @staticmethod
    def load(checkpoint: Checkpoint, config: Any, meanwhile: Callable[[], None] | None = None) -> Backend:
        """Runs the checkpoint with what `configure` gave. `meanwhile` is called once, when what is left to do lets
        other threads of Python run."""


@dataclass(frozen=True)
class Logprobs:
    """Of one position: natural logarithms of probabilities, of the softmax of the logits as the model gave them,
    before penalties, biases, masks and temperature.

    logprob: of the token that stands there. top: (token, logprob) of the most probable ones, in descending order, the
    lower id first among equals; as many as were asked for. rank: how many tokens are more probable than the one that
    stands there.
    """

    logprob: float
    top: tuple[tuple[int, float], ...] = ()
    rank: int = 0


@dataclass(frozen=True)
class RowChoice:
    """How the token of one selected row is chosen. The steps apply in the order of the fields.

    mask: uint32 words, bit t % 32 of word t // 32 is set where token t may be chosen (words that are missing: none
    may); None: all may. banned: tokens that may not be chosen. bias: (token, value) added to logits, each token once.
    repetition_penalty: the logits of `seen` are divided by it where positive, multiplied where not.
    counts: (token, times) of the reply so far, for the next two: presence_penalty is subtracted once from the logit
    of each, frequency_penalty as many times. dry: (token, penalty) subtracted from logits, each token once.
    temperature 0: the greatest logit, the lowest id among equals; else the logits are divided by it, and top_k (0:
    all), top_p and min_p say what is left, of which `uniform`, from [0, 1), picks one by the inverse of the
    distribution function over ascending ids.
    logprobs: so many most probable tokens are told of beside the chosen one (0: that one alone); None: nothing is.
    score: no choice: the token that stands there, whose `Logprobs` are asked for.
    """

    mask: NDArray[np.uint32] | None = None
    banned: Collection[int] = ()
    bias: Collection[tuple[int, float]] = ()
    seen: Collection[int] = ()
    repetition_penalty: float = 1.0
    counts: Collection[tuple[int, int]] = ()
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    dry: Collection[tuple[int, float]] = ()
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    uniform: float = 0.0
    logprobs: int | None = None
    score: int | None = None


@dataclass(frozen=True)
class Choice:
    """token: the chosen one, or the one that was scored. error: why there is none (logits that are not finite, or a
    mask that allows no token); token is then -1."""

    token: int
    logprobs: Logprobs | None = None
    error: Exception | None = None


@runtime_checkable
class ChoosingBackend(Backend, Protocol):
    """A backend that chooses tokens where the logits are, whatever is asked for. Two calls, so that masks can be made
    while the first one runs, without Python's lock."""

    @property
    def choices(self) -> int:
        """The largest R of one batch."""

    def compute(self, batch: Batch | PlainBatch) -> None:
        """As `forward`, but the logits stay in the backend until the next call. R is at most `choices`."""

    def choose(self, rows: Sequence[RowChoice]) -> list[Choice]:
        """The tokens of all selected rows of the last `compute`, in their order. The same as
        `honed.runtime.sampling.choose_row` of the logits that `forward` gives, to the bit.
        """
