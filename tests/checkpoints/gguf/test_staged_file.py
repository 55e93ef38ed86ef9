"""A file that appears whole or not at all."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from honed.checkpoints.artifact.names import sibling
from honed.checkpoints.gguf.staged_file import check_file_target, staged_file
from honed.errors import ArtifactError, MachineError


def write(target: Path, data: bytes, *, overwrite: bool = False) -> None:
    with staged_file(target, needed=len(data), overwrite=overwrite) as (file, partial):
        assert stat.S_IMODE(partial.stat().st_mode) == 0o600
        file.write(data)
        assert not target.exists() or overwrite


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_and_nothing_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", b"GGUF one")
    assert (tmp_path / "m.gguf").read_bytes() == b"GGUF one"
    (tmp_path / "usual").write_bytes(b"")
    assert (tmp_path / "m.gguf").stat().st_mode == (tmp_path / "usual").stat().st_mode
    (tmp_path / "usual").unlink()
    write(tmp_path / "m.gguf", b"GGUF two", overwrite=True)
    assert (tmp_path / "m.gguf").read_bytes() == b"GGUF two"
    assert names(tmp_path) == ["m.gguf"]


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", b"GGUF one")
    with (
        pytest.raises(ZeroDivisionError),
        staged_file(tmp_path / "m.gguf", needed=1, overwrite=True) as (file, _),
    ):
        file.write(b"GGUF half")
        raise ZeroDivisionError
    assert (tmp_path / "m.gguf").read_bytes() == b"GGUF one"
    assert names(tmp_path) == ["m.gguf"]


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    sibling(tmp_path / "m.gguf", "honed-partial").write_bytes(b"half of another file")
    write(tmp_path / "m.gguf", b"GGUF")
    assert (tmp_path / "m.gguf").read_bytes() == b"GGUF"
    assert names(tmp_path) == ["m.gguf"]


def test_what_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "m.gguf"
    with pytest.raises(ArtifactError, match="appeared"), staged_file(target, needed=1, overwrite=False) as (file, _):
        file.write(b"GGUF")
        target.write_bytes(b"another")
    assert target.read_bytes() == b"another"


def test_places_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.gguf").mkdir()
    (tmp_path / "notes.gguf").write_bytes(b"notes")
    (tmp_path / "link.gguf").symlink_to(tmp_path / "notes.gguf")
    for name in ("folder.gguf", "notes.gguf", "link.gguf"):
        for overwrite in (False, True):
            with pytest.raises(ArtifactError, match=name):
                check_file_target(tmp_path / name, overwrite=overwrite)
    with (
        pytest.raises(ArtifactError, match="make it first"),
        staged_file(tmp_path / "none" / "m.gguf", needed=1, overwrite=False),
    ):
        pass
    with (
        pytest.raises(MachineError, match="too full"),
        staged_file(tmp_path / "m.gguf", needed=1 << 60, overwrite=False),
    ):
        pass
    assert not (tmp_path / "m.gguf").exists()
