"""Comparisons of tiny encoders see what differs."""

from __future__ import annotations

from pathlib import Path

import pytest

from honed.api.families import encoders
from honed.backends.encoder import Output, TextBatch
from honed.backends.interpreter_encoder import InterpreterEncoder
from honed.checkpoints.base import Checkpoint
from honed.checkpoints.open import open_checkpoint
from honed.checkpoints.sample_directory import write_sample
from honed.models.registry import FAMILIES
from honed.models.samples import sample_configs


def sample(folder: Path, seed: int = 0) -> Checkpoint:
    family = FAMILIES["roberta"]
    return open_checkpoint(str(write_sample(folder / str(seed), family, sample_configs(family)[0], seed)))


def test_other_weights_are_seen(tmp_path: Path) -> None:
    one, other = sample(tmp_path), sample(tmp_path, 1)
    assert encoders.distance(one, one.path) < 1e-5
    assert encoders.distance(one, other.path) > 0.01
    assert encoders.divergence(one, other)[1] > 0.1
    assert encoders.divergence(one, one)[0] < 1e-3


def test_all_outputs_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = sample(tmp_path)
    asked = []
    interpreted = InterpreterEncoder.encode

    def watched(self: InterpreterEncoder, batch: TextBatch, output: Output) -> object:
        asked.append(output)
        rows = interpreted(self, batch, output)
        return rows + 1 if output == "pooler" else rows

    monkeypatch.setattr(InterpreterEncoder, "encode", watched)
    assert not encoders.same_rows(one, "float32")
    assert asked == ["hidden", "mean", "first", "last", "pooler"]
