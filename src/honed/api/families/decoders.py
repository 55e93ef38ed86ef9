"""A tiny decoder of a family, run: logits of two backends to the bit, of transformers closely, and divergences.

Batches are those of the evaluation, a few rows at a time, so that prompts are cut and rows of a cache are read. Not
here: encoders (`encoders.py`), and what of it makes a row of the table (`row.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.backends.base import Backend, Batch
from honed.backends.interpreter import InterpreterBackend, InterpreterConfig
from honed.backends.open import open_backend
from honed.backends.options import RunOptions
from honed.bench.peers.transformers_logits import decoder_logits
from honed.checkpoints.base import Checkpoint
from honed.evaluate.compare import compare
from honed.evaluate.windows import Window
from honed.plan.formats import DensePolicy

_TOKENS = 48
_STEP_ROWS = 17
"""No part of a page: steps end within pages."""
_FIRST_ID = 3
"""The first token that is none of the special ones."""
_CACHE = 128


class Recording:
    """A backend that keeps the logits of every step."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.steps: list[NDArray[np.float32]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def forward(self, batch: Batch) -> NDArray[np.float32]:
        logits = self._backend.forward(batch)
        self.steps.append(logits.copy())
        return logits

    @property
    def logits(self) -> NDArray[np.float32]:
        return np.concatenate(self.steps)


def sample_windows(vocabulary: int, count: int = 2) -> list[Window]:
    """Texts of tokens that are drawn, the same ones each time."""
    generator = np.random.default_rng(17)
    found = []
    for _ in range(count):
        ids = generator.integers(_FIRST_ID, vocabulary, _TOKENS + 1).astype(np.int32)
        found.append(Window(0, ids[:-1], ids[1:]))
    return found


def same_bits(checkpoint: Checkpoint, dtype: DensePolicy) -> bool:
    """Whether the native engine gives the logits of the interpreter."""
    native = Recording(_native(checkpoint, dtype))
    oracle = Recording(InterpreterBackend.load(checkpoint, InterpreterConfig(dtype=dtype, kv_tokens=_CACHE)))
    compare(native, oracle, sample_windows(native.vocabulary), step_rows=_STEP_ROWS)
    return np.array_equal(native.logits, oracle.logits)


def same_logits(one: Checkpoint, other: Checkpoint) -> bool:
    """Whether the native engine gives two checkpoints the same logits in float32, to the bit."""
    ours, theirs = Recording(_native(one, "float32")), Recording(_native(other, "float32"))
    compare(ours, theirs, sample_windows(ours.vocabulary), step_rows=_STEP_ROWS)
    return np.array_equal(ours.logits, theirs.logits)


def divergence(candidate: Checkpoint, reference: Checkpoint) -> tuple[float, float]:
    """The mean KL divergence of a token, and how far logits are off in parts of their deviation; the candidate as it
    runs, the reference in float32."""
    ours, theirs = Recording(_native(candidate, "auto")), Recording(_native(reference, "float32"))
    scores = compare(ours, theirs, sample_windows(theirs.vocabulary), step_rows=_STEP_ROWS)
    off = ours.logits - theirs.logits
    return float(scores.divergence.mean()), float(np.sqrt(np.square(off).mean()) / theirs.logits.std())


def distance(checkpoint: Checkpoint, directory: Path) -> float:
    """How far logits in float32 are from those of transformers at most, in parts of their spread."""
    native = Recording(_native(checkpoint, "float32"))
    window = sample_windows(native.vocabulary, 1)
    compare(native, native, window, step_rows=_STEP_ROWS)
    expected = decoder_logits(directory, window[0].inputs)
    found = np.concatenate(native.steps[::2])  # of each step there are two
    return float(np.abs(found - expected).max() / (expected.max() - expected.min()))


def _native(checkpoint: Checkpoint, dtype: DensePolicy) -> Backend:
    return open_backend(checkpoint, RunOptions(dtype=dtype, threads=1, context=_TOKENS + 16))


@contextmanager
def quiet() -> Iterator[None]:
    """Without what libraries say of tiny models."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
