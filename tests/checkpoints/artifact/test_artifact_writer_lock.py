"""The lock of a writer, and what others have under its name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from honed.checkpoints.artifact.writer_lock import BusyError, writer_lock
from honed.errors import ArtifactError


def test_one_at_a_time_and_nothing_is_left(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with writer_lock(target):
        with (
            pytest.raises(BusyError, match=rf"\(id {os.getpid()}\) is writing it"),
            writer_lock(target),
        ):
            pass
        with writer_lock(tmp_path / "other"):
            pass
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "honed lock\n1         \n"])
def test_one_that_a_dead_writer_left_is_no_obstacle(tmp_path: Path, text: str) -> None:
    path = tmp_path / ".out.honed-lock"
    path.write_text(text)
    with writer_lock(tmp_path / "out"):
        assert path.read_text() == f"honed lock\n{os.getpid():<10}\n"
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["text", "long", "link", "dangling", "hard link", "directory", "fifo"])
def test_what_honed_did_not_write_is_refused_by_name_and_not_touched(tmp_path: Path, kind: str) -> None:
    path, victim = tmp_path / ".out.honed-lock", tmp_path / "victim"
    victim.write_text("honed lock\n" if kind in ("link", "hard link") else "years")
    make: dict[str, Callable[[], object]] = {
        "text": lambda: path.write_text("years"),
        "long": lambda: path.write_text("honed lock\n" + "x" * 200),
        "link": lambda: path.symlink_to(victim),
        "dangling": lambda: path.symlink_to(tmp_path / "nowhere"),
        "hard link": lambda: path.hardlink_to(victim),
        "directory": path.mkdir,
        "fifo": lambda: os.mkfifo(path),
    }
    make[kind]()
    before, text = path.lstat(), victim.read_text()
    with (
        pytest.raises(ArtifactError, match=r"\.out\.honed-lock: is in the place of honed's lock"),
        writer_lock(tmp_path / "out"),
    ):
        pass
    assert path.lstat() == before
    assert victim.read_text() == text
    assert not (tmp_path / "nowhere").exists()
