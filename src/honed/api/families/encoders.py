"""A tiny encoder of a family, run: rows of two backends to the bit, of transformers closely, and cosines.

Not here: decoders (`decoders.py`), and what of it makes a row of the table (`row.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from honed.backends.encoder import EncoderBackend, Output, TextBatch
from honed.backends.interpreter_encoder import InterpreterEncoder
from honed.backends.open import open_encoder
from honed.backends.options import RunOptions
from honed.bench.peers.transformers_logits import encoder_rows
from honed.checkpoints.base import Checkpoint
from honed.evaluate.vectors import compare_vectors
from honed.models.recorded import main_graph
from honed.models.registry import read_encoder
from honed.plan.formats import DensePolicy

_LENGTHS = (7, 1, 33, 12)
"""Tokens of the texts of the batch, the longest neither first nor last."""
_FIRST_ID = 5
"""Over the tokens that stand for padding."""
_OUTPUTS: tuple[Output, ...] = get_args(Output)


def sample_texts(vocabulary: int) -> list[NDArray[np.int32]]:
    """Texts of tokens that are drawn, the same ones each time."""
    generator = np.random.default_rng(17)
    return [generator.integers(_FIRST_ID, vocabulary, length).astype(np.int32) for length in _LENGTHS]


def same_rows(checkpoint: Checkpoint, dtype: DensePolicy) -> bool:
    """Whether the native engine gives the rows of the interpreter, of all outputs that the model has."""
    model = read_encoder(checkpoint.config, checkpoint.path)
    native, oracle = _native(checkpoint, dtype), InterpreterEncoder(model, checkpoint, dtype)
    batch, there = _batch(checkpoint), main_graph(model).outputs
    outputs = [output for output in _OUTPUTS if output in there]
    return all(np.array_equal(native.encode(batch, output), oracle.encode(batch, output)) for output in outputs)


def divergence(candidate: Checkpoint, reference: Checkpoint) -> tuple[float, float]:
    """One less the mean cosine of the vectors of texts, and how far they are off in parts of their deviation; the
    candidate as it runs, the reference in float32."""
    batch = _batch(reference)
    ours, theirs = _native(candidate, "auto").encode(batch, "mean"), _native(reference, "float32").encode(batch, "mean")
    off = float(np.sqrt(np.square(ours - theirs).mean()) / theirs.std())
    return 1.0 - float(compare_vectors(theirs, ours).cosine.mean()), off


def distance(checkpoint: Checkpoint, directory: Path) -> float:
    """How far rows in float32 are from those of transformers at most, in parts of their spread."""
    found = _native(checkpoint, "float32").encode(_batch(checkpoint), "hidden")
    expected = encoder_rows(directory, sample_texts(_vocabulary(checkpoint)))
    return float(np.abs(found - expected).max() / (expected.max() - expected.min()))


def _vocabulary(checkpoint: Checkpoint) -> int:
    return read_encoder(checkpoint.config, checkpoint.path).dimensions.vocabulary


def _batch(checkpoint: Checkpoint) -> TextBatch:
    tokens = np.concatenate(sample_texts(_vocabulary(checkpoint)))
    return TextBatch(tokens, np.zeros_like(tokens), np.array(_LENGTHS, np.int32))


def _native(checkpoint: Checkpoint, dtype: DensePolicy) -> EncoderBackend:
    return open_encoder(checkpoint, RunOptions(dtype=dtype, threads=1))
