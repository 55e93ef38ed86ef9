"""What runs an encoder has to offer. Interfaces only.

The texts of a batch stand back to back, ragged, and see nothing of each other: the rows of a text are the same to the
bit whatever stands beside it. `tasks/` knows this file and no backend.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol

from honed.lazy_imports import numpy as np
from honed.records import dataclass

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from honed.backends.options import RunOptions
    from honed.checkpoints.base import Checkpoint

Output = Literal["hidden", "mean", "first", "last", "pooler", "classes", "tags", "vocabulary"]
"""A row for each token; or one for each text: the mean of its rows, the first, the last, or the pooler's. Of a model
with a head: logits of the classes of each text, of the tags of each token (of an answer: that it starts and that it
ends there), or of the vocabulary for each row that is asked for."""


@dataclass(frozen=True)
class TextBatch:
    """T token rows of S texts. tokens, types: int32 [T]; lengths: int32 [S], each at least 1, T in all.

    selected: int32 [R], ascending, of which of the T rows a vocabulary is asked for; None: of all.
    """

    tokens: NDArray[np.int32]
    types: NDArray[np.int32]
    lengths: NDArray[np.int32]
    selected: NDArray[np.int32] | None = None

    @property
    def selected_rows(self) -> NDArray[np.int32]:
        """int32 [R], those that are asked for."""
        return np.arange(len(self.tokens), dtype=np.int32) if self.selected is None else self.selected


class EncoderBackend(Protocol):
    """A loaded encoder. Not safe for two threads at once."""

    @property
    def name(self) -> str:
        """native, pytorch, ..."""

    @property
    def width(self) -> int:
        """Columns of a row."""

    @property
    def context(self) -> int:
        """Tokens of a text, at most."""

    @property
    def step_tokens(self) -> int:
        """The largest T of one batch; at least `context`."""

    @property
    def types(self) -> int:
        """Token types are below it; 0 where the model has none and `types` is not looked at."""

    def encode(self, batch: TextBatch, output: Output) -> NDArray[np.float32]:
        """Float32 [T, width] of hidden, [S, labels] of classes, [T, labels] of tags, [R, vocabulary] of vocabulary,
        [S, width] of the others. An output that the model has not: UnsupportedError, which names those that it has."""


class EncoderClass(Protocol):
    """How one is made: what the class that stands in `registry.py` offers."""

    @staticmethod
    def configure(options: RunOptions) -> Any:
        """Its own settings. ParameterError for what this machine cannot do."""

    @staticmethod
    def load(checkpoint: Checkpoint, config: Any, meanwhile: Callable[[], None] | None = None) -> EncoderBackend:
        """Runs the checkpoint with what `configure` gave. `meanwhile` is called once, when what is left to do lets
        other threads of Python run."""
