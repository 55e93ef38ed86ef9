"""Files that only this user can have written are read; everything else is as if it were not there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from honed.checkpoints.private_files import private_directory, read_private, write_private


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_private(path, b"one")
    write_private(path, b"two")
    assert read_private(path) == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
    assert read_private(tmp_path / "nowhere") is None
    assert read_private(tmp_path / "a\0b") is None


def test_the_umask_of_a_group_does_no_harm(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_private(tmp_path / "place" / "file", b"x")
    finally:
        os.umask(before)
    assert read_private(tmp_path / "place" / "file") == b"x"


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_not_read(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "place" / "file"
    write_private(path, b"x")
    path.chmod(mode)
    assert read_private(path) is None
    path.chmod(0o644)  # others may read
    assert read_private(path) == b"x"


@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_what_is_no_file_is_not_read_and_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "place" / "file"
    write_private(path.with_name("real"), b"x")
    make: dict[str, Callable[[], object]] = {
        "link": lambda: path.symlink_to("real"),
        "fifo": lambda: os.mkfifo(path),
        "directory": path.mkdir,
    }
    make[kind]()
    assert read_private(path) is None


def test_a_directory_of_another_user_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    if os.getuid() == 0:
        os.chown(tmp_path, 54321, -1)
    assert not private_directory(tmp_path)
    write_private(tmp_path / "file", b"x")
    assert not (tmp_path / "file").exists()
