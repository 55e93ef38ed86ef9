"""Mapped files: read-only, alive as long as what is made from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from honed.checkpoints.mapping import map_file
from honed.errors import FormatError, SourceError


def test_bytes_outlive_the_map(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(range(200)))
    array = np.frombuffer(map_file(path), np.uint8)
    path.unlink()
    assert array.tolist() == list(range(200))
    assert not array.flags.writeable


def test_errors(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(FormatError, match="empty: size: the file is empty"):
        map_file(tmp_path / "empty")
    with pytest.raises(SourceError, match="none: cannot be read: No such file"):
        map_file(tmp_path / "none")
    with pytest.raises(SourceError, match="cannot be read: Is a directory"):
        map_file(tmp_path)
