"""A trial of writing leaves nothing, and finds what would stop the whole artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honed.checkpoints.artifact.envelope import create
from honed.checkpoints.artifact.trial import try_to_write
from honed.checkpoints.safetensors.reader import SafetensorsFile
from honed.errors import ArtifactError, MachineError


def test_nothing_is_left_not_even_directories_that_were_made(tmp_path: Path) -> None:
    try_to_write(tmp_path / "a" / "b" / "out", needed=1000, replaces="nothing")
    assert not any(tmp_path.iterdir())


def test_what_an_interrupted_run_left_is_removed_and_told(tmp_path: Path) -> None:
    left = create(tmp_path / "out", "nothing")
    told: list[str] = []
    try_to_write(tmp_path / "out", needed=0, replaces="nothing", notes=told.append)
    assert told == [f"removed {left.path}, which an interrupted run had left"]
    assert not any(tmp_path.iterdir())


def test_a_disk_that_is_too_full_is_found(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"the disk is too full: .* bytes needed"):
        try_to_write(tmp_path / "out", needed=1 << 60, replaces="nothing")
    assert not any(tmp_path.iterdir())


def test_what_is_there_is_refused_and_stays(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    for replaces in ("nothing", "artifact"):
        with pytest.raises(ArtifactError):
            try_to_write(tmp_path / "out", needed=0, replaces=replaces)
    assert (tmp_path / "out" / "mine").read_text() == "x"


def test_other_bytes_that_come_back_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(self: Any, name: str) -> Any:
        return np.zeros(4096, np.int32)

    monkeypatch.setattr(SafetensorsFile, "tensor", other)
    with pytest.raises(ArtifactError, match="reads back as something else"):
        try_to_write(tmp_path / "out", needed=0, replaces="nothing")
    assert not any(tmp_path.iterdir())


def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("honed.checkpoints.artifact.trial.SafetensorsWriter", refused)
    with pytest.raises(ArtifactError, match="Read-only file system"):
        try_to_write(tmp_path / "out", needed=0, replaces="nothing")
    assert not any(tmp_path.iterdir())
