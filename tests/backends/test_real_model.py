"""The demo model: native float32 logits against the torch reference over the same GGUF weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from honed.backends.native import NativeBackend
from honed.backends.native_config import NativeConfig
from honed.backends.pytorch import PyTorchBackend, PyTorchConfig
from honed.checkpoints.gguf.checkpoint import GgufCheckpoint
from tiny_models import whole


@pytest.mark.real_model
@pytest.mark.slow
def test_the_blocks_of_the_demo_model_run_as_they_are(smollm2_gguf: Path) -> None:
    checkpoint = GgufCheckpoint(smollm2_gguf)
    batch = whole(np.random.default_rng(9).integers(0, 49152, 40).astype(np.int32), pages=(1, 0))
    expected = NativeBackend.load(checkpoint, NativeConfig(dtype="float32", kv_tokens=64)).forward(batch)
    backend = NativeBackend.load(checkpoint, NativeConfig(kv_tokens=64))
    assert backend.weight_bytes < 1.4 * smollm2_gguf.stat().st_size, "the table and the head are one tensor of the file"
    logits = backend.forward(batch)
    # Of the weights nothing is lost; activations are rounded to 8 bits.
    assert 0 < np.abs(logits - expected).mean() < 0.01 * np.ptp(expected)


@pytest.mark.real_model
@pytest.mark.slow
def test_the_demo_model_equals_the_torch_reference(smollm2_gguf: Path) -> None:
    checkpoint = GgufCheckpoint(smollm2_gguf)
    batch = whole(np.random.default_rng(9).integers(0, 49152, 40).astype(np.int32), pages=(1, 0))
    expected = PyTorchBackend.load(checkpoint, PyTorchConfig(kv_tokens=64)).forward(batch)
    logits = NativeBackend.load(checkpoint, NativeConfig(dtype="float32", kv_tokens=64)).forward(batch)
    assert np.abs(logits - expected).max() < 1e-4 * np.ptp(expected)
