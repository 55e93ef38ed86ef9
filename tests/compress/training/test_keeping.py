"""State files are replaced whole and known by their fingerprint; logs are lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from honed.compress.training.keeping import LOG, STATE, Keeping, Log
from honed.errors import ParameterError


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    kept = Keeping(tmp_path / "new" / "folder", "mine")
    assert kept.load() is None
    kept.save({"step": 3, "moved": {"w": torch.arange(4)}})
    found = Keeping(tmp_path / "new" / "folder", "mine").load()
    assert found is not None and found["step"] == 3
    assert torch.equal(found["moved"]["w"], torch.arange(4))


def test_the_state_of_another_training_is_refused(tmp_path: Path) -> None:
    Keeping(tmp_path, "mine").save({})
    with pytest.raises(ParameterError, match="is of a training of other models, tokens or settings"):
        Keeping(tmp_path, "other").load()


def test_a_save_that_fails_leaves_the_last_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Keeping(tmp_path, "mine")
    kept.save({"step": 1})

    def full(state: object, file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        kept.save({"step": 2})
    found = kept.load()
    assert found is not None and found["step"] == 1


def test_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    Keeping(None, "mine").save({"step": 1})
    assert Keeping(None, "mine").load() is None
    log = Log(None)
    log.write(1, {"loss": 2.0})
    log.close()
    assert not list(tmp_path.iterdir())


def test_a_log_is_added_to(tmp_path: Path) -> None:
    for step in (1, 2):
        log = Log(tmp_path / "run")
        log.write(step, {"loss": 0.5 * step})
        log.close()
    lines = [json.loads(line) for line in (tmp_path / "run" / LOG).read_text().splitlines()]
    assert lines == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 1.0}]
    assert STATE not in {path.name for path in (tmp_path / "run").iterdir()}
