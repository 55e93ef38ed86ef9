"""What the torch reference gives for a tiny encoder's ragged batch."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from honed.backends.encoder import Output, TextBatch
from honed.backends.pytorch_encoder import PyTorchEncoder
from honed.checkpoints.open import open_checkpoint
from honed.notes import HonedWarning
from tiny_encoders import LENGTHS, GoldenEncoder


def batch_of(made: GoldenEncoder) -> TextBatch:
    """All texts, ragged."""
    return TextBatch(made.tokens, made.types, np.array(LENGTHS, dtype=np.int32))


def token_rows(made: GoldenEncoder) -> NDArray[np.float32]:
    """A row for each token."""
    return _rows(made, "hidden")


def pooler_rows(made: GoldenEncoder) -> NDArray[np.float32]:
    """The pooler's row of each text."""
    return _rows(made, "pooler")


def _rows(made: GoldenEncoder, output: Output) -> NDArray[np.float32]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HonedWarning)  # heads that are not read
        checkpoint = open_checkpoint(str(made.directory))
    return PyTorchEncoder.load(checkpoint).encode(batch_of(made), output)
