"""Renames that replace nothing by mistake, with the system's own calls and without."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from honed.checkpoints.artifact.atomic_rename import ExchangeError, exchange, rename_into_free


@pytest.fixture(params=[None, errno.EINVAL, errno.ENOSYS], ids=["here", "EINVAL", "ENOSYS"])
def number(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int | None:
    """What renameat2 fails with; None where it is the real one."""
    if request.param is not None:

        class Function:
            def __call__(self, *_: object) -> int:
                ctypes.set_errno(request.param)
                return -1

        # A C library that does not know the call at all stands for the last of them.
        library = SimpleNamespace(renameat2=Function()) if request.param == errno.EINVAL else SimpleNamespace()
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: library)
    return cast("int | None", request.param)


def test_into_a_free_name(tmp_path: Path, number: int | None) -> None:
    (tmp_path / "a").mkdir()
    rename_into_free(tmp_path / "a", tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize("kind", ["file", "directory", "dangling"])
def test_into_a_name_that_is_taken(tmp_path: Path, number: int | None, kind: str) -> None:
    (tmp_path / "a").mkdir()
    taken = tmp_path / "b"
    make: dict[str, Callable[[], object]] = {
        "file": taken.touch,
        "directory": taken.mkdir,
        "dangling": lambda: taken.symlink_to("nowhere"),
    }
    make[kind]()
    before = taken.lstat().st_ino
    with pytest.raises(FileExistsError):
        rename_into_free(tmp_path / "a", taken)
    assert taken.lstat().st_ino == before


def test_two_change_places(tmp_path: Path, number: int | None) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if number is None:
        exchange(tmp_path / "a", tmp_path / "b")
        assert (tmp_path / "a" / "b").exists()
        with pytest.raises(FileNotFoundError):
            exchange(tmp_path / "a", tmp_path / "nowhere")
    else:
        with pytest.raises(ExchangeError):
            exchange(tmp_path / "a", tmp_path / "b")
        assert (tmp_path / "a" / "a").exists()
