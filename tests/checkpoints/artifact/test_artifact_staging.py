"""A staged directory appears whole or not at all: under errors, kills, a full disk and a second writer."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from honed.checkpoints.artifact.staging import check_target, staged_directory
from honed.errors import ArtifactError


def replaceable(path: Path) -> bool:
    return (path / "mark").exists()


def stage(target: Path, content: str = "new", *, overwrite: bool = False, needed: int = 0) -> None:
    with staged_directory(target, needed=needed, overwrite=overwrite, replaceable=replaceable) as directory:
        assert not any(directory.iterdir())
        assert directory.parent == target.parent
        (directory / "mark").write_text(content)


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Path]:
    """A finished directory, which must be as it was, without siblings, when the test is over."""
    target = tmp_path / "out"
    stage(target, "old")
    yield target
    assert (target / "mark").read_text() == "old"
    assert names(tmp_path) == {"out"}


def test_it_appears_with_its_parents_and_nothing_beside_it(tmp_path: Path) -> None:
    stage(tmp_path / "a" / "b" / "out")
    assert (tmp_path / "a" / "b" / "out" / "mark").read_text() == "new"
    assert names(tmp_path / "a" / "b") == {"out"}


def test_an_existing_one_is_refused_and_with_overwrite_replaced(tmp_path: Path) -> None:
    stage(tmp_path / "out", "old")
    with pytest.raises(ArtifactError, match=r"out: exists already; .*--overwrite"):
        stage(tmp_path / "out")
    stage(tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "mark").read_text() == "new"
    assert names(tmp_path) == {"out"}


def test_overwrite_never_replaces_what_was_not_written_here(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "home")
    for name in ("home", "file", "link"):
        with pytest.raises(ArtifactError, match="and this is none"):
            stage(tmp_path / name, overwrite=True)
    assert (tmp_path / "home" / "thesis.txt").read_text() == "years"
    (tmp_path / "empty").mkdir()
    stage(tmp_path / "empty", overwrite=True)


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_one_and_no_temporaries(old: Path, error: BaseException) -> None:
    with (
        pytest.raises(type(error)),
        staged_directory(old, needed=0, overwrite=True, replaceable=replaceable) as directory,
    ):
        (directory / "mark").write_text("half")
        raise error


def test_a_full_disk_is_told_before_with_both_numbers(old: Path) -> None:
    with pytest.raises(
        ArtifactError, match=re.escape(f"{old}: the disk is too full: ") + r"\d+ bytes needed, \d+ bytes free"
    ):
        stage(old, overwrite=True, needed=1 << 60)


def test_a_disk_that_fills_up_on_the_way_leaves_the_old_one(old: Path) -> None:
    """The kernel itself refuses: a limit on the size of files stands in for the end of the disk."""
    script = (
        "import resource, sys; from pathlib import Path\n"
        "from honed.checkpoints.artifact.staging import staged_directory\n"
        "from honed.errors import ArtifactError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try:\n"
        "    with staged_directory(Path(sys.argv[1]), needed=500, overwrite=True, replaceable=lambda p: True) as d:\n"
        "        (d / 'mark').write_bytes(b'x' * 500)\n"
        "except ArtifactError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(old)], capture_output=True, text=True, check=True)
    assert re.search(r"the disk became full .*\d+ bytes needed in all, \d+ bytes free now", done.stdout), done


def test_a_killed_writer_leaves_nothing_that_the_next_does_not_clean(tmp_path: Path) -> None:
    target = tmp_path / "out"
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from honed.checkpoints.artifact.staging import staged_directory\n"
        "with staged_directory(Path(sys.argv[1]), needed=0, overwrite=False, replaceable=lambda p: True) as d:\n"
        "    (d / 'mark').write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(target)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not target.exists()
    stage(target)
    assert (target / "mark").read_text() == "new"
    assert names(tmp_path) == {"out"}


def test_the_old_one_is_put_back_if_the_machine_stopped_between_the_renames(tmp_path: Path) -> None:
    stage(tmp_path / "out", "old")
    (tmp_path / "out").rename(tmp_path / ".out.previous")
    with pytest.raises(ArtifactError, match="exists already"):
        stage(tmp_path / "out")
    assert (tmp_path / "out" / "mark").read_text() == "old"
    assert names(tmp_path) == {"out"}


def test_a_second_writer_is_refused_by_the_id_of_the_first(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with staged_directory(target, needed=0, overwrite=False, replaceable=replaceable) as directory:
        with pytest.raises(ArtifactError, match=rf"another process \(id {os.getpid()}\) is writing it"):
            stage(target)
        (directory / "mark").write_text("first")
    assert (target / "mark").read_text() == "first"
    assert names(tmp_path) == {"out"}


def test_a_lock_file_without_a_living_holder_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".out.lock").write_text("1")
    stage(tmp_path / "out")
    assert names(tmp_path) == {"out"}


def test_places_that_cannot_hold_a_directory_are_refused_before_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArtifactError, match="is not a directory"):
        check_target(tmp_path / "file" / "out", overwrite=False, replaceable=replaceable)
    if os.geteuid() != 0:  # root may write anywhere
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(ArtifactError, match="cannot be written to"):
            check_target(tmp_path / "locked" / "out", overwrite=False, replaceable=replaceable)


def test_a_read_only_place_is_an_artifact_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ArtifactError, match="cannot be written: Read-only file system"):
        stage(tmp_path / "out")
