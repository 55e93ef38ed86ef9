"""Comparisons of tiny decoders see what differs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from honed.api.families import decoders
from honed.backends.base import Batch
from honed.backends.interpreter import InterpreterBackend
from honed.checkpoints.base import Checkpoint
from honed.checkpoints.open import open_checkpoint
from honed.checkpoints.sample_directory import write_sample
from honed.models.registry import FAMILIES
from honed.models.samples import sample_configs


def sample(folder: Path, seed: int = 0) -> Checkpoint:
    family = FAMILIES["llama"]
    return open_checkpoint(str(write_sample(folder / str(seed), family, sample_configs(family)[0], seed)))


def test_other_weights_are_seen(tmp_path: Path) -> None:
    one, other = sample(tmp_path), sample(tmp_path, 1)
    assert decoders.same_logits(one, one)
    assert not decoders.same_logits(one, other)
    assert decoders.divergence(one, one)[0] < 1e-3
    assert decoders.divergence(one, other)[1] > 0.5
    assert decoders.distance(one, one.path) < 1e-5
    assert decoders.distance(one, other.path) > 0.01


def test_another_program_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = sample(tmp_path)
    assert decoders.same_bits(one, "float32")
    interpreted = InterpreterBackend.forward

    def off(self: InterpreterBackend, batch: Batch) -> object:
        return np.nextafter(interpreted(self, batch), np.float32(np.inf))

    monkeypatch.setattr(InterpreterBackend, "forward", off)
    assert not decoders.same_bits(one, "float32")


def test_windows_are_of_ordinary_tokens() -> None:
    windows = decoders.sample_windows(97)
    assert len(windows) == 2
    assert all(window.inputs.min() >= 3 and window.inputs.max() < 97 for window in windows)
    assert not np.array_equal(windows[0].inputs, windows[1].inputs)
