"""Mapped files: read-only, alive as long as what is made from them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from honed.checkpoints.mapping import give_back, map_file
from honed.errors import FormatError, SourceError


def test_bytes_outlive_the_map(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(range(200)))
    array = np.frombuffer(map_file(path), np.uint8)
    path.unlink()
    assert array.tolist() == list(range(200))
    assert not array.flags.writeable


def mapped_bytes() -> int:
    """Pages of files in this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssFile:"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_was_read_is_given_back_and_comes_back(tmp_path: Path) -> None:
    size = 32 << 20
    path = tmp_path / "x"
    path.write_bytes(np.arange(size // 8).tobytes())
    mapped = map_file(path)
    array = np.frombuffer(mapped, np.int64)
    before = mapped_bytes()
    total = array.sum()
    assert mapped_bytes() - before > size * 3 // 4
    give_back(mapped)
    assert mapped_bytes() - before < size // 4
    assert array.sum() == total
    assert array[-1] == size // 8 - 1


def test_other_bytes_are_left_alone() -> None:
    array = bytearray(b"abc" * 5000)
    give_back(memoryview(array))
    assert array == b"abc" * 5000


def test_errors(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(FormatError, match="empty: size: the file is empty"):
        map_file(tmp_path / "empty")
    with pytest.raises(SourceError, match="none: cannot be read: No such file"):
        map_file(tmp_path / "none")
    with pytest.raises(SourceError, match="cannot be read: is a directory"):
        map_file(tmp_path)
