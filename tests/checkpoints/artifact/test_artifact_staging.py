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

from honed.checkpoints.artifact import atomic_rename, staging
from honed.checkpoints.artifact.envelope import Replaces
from honed.checkpoints.artifact.staging import interrupted, staged_directory
from honed.errors import ArtifactError, MachineError


def stage(target: Path, content: str = "new", *, replaces: Replaces = "nothing", needed: int = 0) -> list[str]:
    notes: list[str] = []
    with staged_directory(target, needed=needed, replaces=replaces, notes=notes.append) as directory:
        assert not any(directory.iterdir())
        assert directory.parent.parent == target.parent
        (directory / "mark").write_text(content)
    return notes


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def in_a_process(target: Path, body: str, *, before: str = "") -> subprocess.CompletedProcess[str]:
    """Stages over what is there, in a process: `body` runs inside the block, with `d` the directory."""
    script = (
        "import os, resource, signal, sys, time; from pathlib import Path\n"
        "from honed.checkpoints.artifact import staging, envelope, atomic_rename\n"
        "from honed.errors import HonedError\n"
        f"{before}\n"
        "try:\n"
        "    with staging.staged_directory(Path(sys.argv[1]), needed=500, replaces='anything', notes=print) as d:\n"
        f"        {body}\n"
        "except HonedError as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    return subprocess.run([sys.executable, "-c", script, str(target)], capture_output=True, text=True, check=False)


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Path]:
    """A finished directory, which must be as it was, without siblings, when the test is over."""
    target = tmp_path / "out"
    stage(target, "old")
    yield target
    assert (target / "mark").read_text() == "old"
    assert names(tmp_path) == {"out"}


def test_it_appears_with_its_parents_and_nothing_beside_it(tmp_path: Path) -> None:
    assert stage(tmp_path / "a" / "b" / "out") == []
    assert (tmp_path / "a" / "b" / "out" / "mark").read_text() == "new"
    assert names(tmp_path / "a" / "b") == {"out"}
    assert (tmp_path / "a" / "b" / "out").stat().st_mode & 0o777 == 0o777 & ~_umask()


def _umask() -> int:
    found = os.umask(0)
    os.umask(found)
    return found


def test_parents_that_were_made_in_vain_are_taken_away(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(ValueError, match="bad"), staged_directory(tmp_path / "there" / "a" / "b" / "out", needed=0):
        raise ValueError("bad")
    assert names(tmp_path / "there") == set()


def test_an_existing_one_is_refused_and_where_it_may_be_replaced(tmp_path: Path) -> None:
    stage(tmp_path / "out", "old")
    with pytest.raises(ArtifactError, match=r"out: exists already; .*--overwrite"):
        stage(tmp_path / "out")
    assert stage(tmp_path / "out", replaces="anything") == []
    assert (tmp_path / "out" / "mark").read_text() == "new"
    assert names(tmp_path) == {"out"}


def test_a_name_of_any_length_that_the_file_system_has(tmp_path: Path) -> None:
    for name in ("x" * 255, "ü" * 127, "a b\nc", "-o", "..."):
        stage(tmp_path / name)
        stage(tmp_path / name, replaces="anything")
        assert names(tmp_path) == {name}
        (tmp_path / name / "mark").unlink()
        (tmp_path / name).rmdir()
    with pytest.raises(ArtifactError, match="too long"):
        stage(tmp_path / ("x" * 256))


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_one_and_no_temporaries(old: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), staged_directory(old, needed=0, replaces="anything") as directory:
        (directory / "mark").write_text("half")
        raise error


def test_a_full_disk_is_told_before_with_both_numbers(old: Path) -> None:
    with pytest.raises(
        MachineError, match=re.escape(f"{old}: the disk is too full: ") + r"\d+ bytes needed, \d+ bytes free"
    ):
        stage(old, replaces="anything", needed=1 << 60)


def test_a_disk_that_fills_up_on_the_way_leaves_the_old_one(old: Path) -> None:
    """The kernel itself refuses: a limit on the size of files stands in for the end of the disk."""
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))"
    done = in_a_process(old, "(d / 'mark').write_bytes(b'x' * 500)", before=limit)
    assert re.match(
        r"MachineError .*the disk became full .*\d+ bytes needed in all, \d+ bytes free now", done.stdout
    ), done


@pytest.mark.parametrize("call", ["os.write", "os.pwrite", "pathlib.Path.mkdir", "os.fsync"])
@pytest.mark.parametrize("number", [28, 122, 30, 13])
def test_a_disk_that_is_full_or_read_only_at_any_call(
    old: Path, call: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(call, refuse)
        kind, words = (MachineError, "became full") if number in (28, 122) else (ArtifactError, "cannot be written")
        with pytest.raises(kind, match=words):
            stage(old, replaces="anything")


STEPS = ["envelope", "block", "sync", "before exchange", "after exchange", "former removed"]


@pytest.mark.parametrize("exchanges", [True, False], ids=["exchange", "two renames"])
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_step_leaves_the_old_or_the_new_one_and_the_next_writer_cleans(
    tmp_path: Path, step: str, exchanges: bool
) -> None:
    target = tmp_path / "out"
    stage(target, "old")
    kill = "os.kill(os.getpid(), signal.SIGKILL)"
    before = (
        "def killing(place, name, after=False):\n"
        "    done = getattr(place, name)\n"
        "    def call(*given, **named):\n"
        "        result = done(*given, **named) if after else None\n"
        f"        {kill}\n"
        "    setattr(place, name, call)\n"
        "def none(*_): raise atomic_rename.ExchangeError(22, 'none')\n"
    )
    if not exchanges:
        before += "staging.exchange = none\n"
    before += {
        "envelope": "killing(os, 'write')\n",
        "block": "",
        "sync": "killing(staging, '_sync_directory')\n",
        "before exchange": "killing(staging, '_put_in_place')\n",
        "after exchange": "killing(staging, 'exchange' if staging.exchange is not none else 'rename_into_free', "
        "staging.exchange is not none)\n",
        "former removed": "killing(envelope.Envelope, 'remove')\n",
    }[step]
    body = "(d / 'mark').write_text('new')" + (f"; {kill}" if step == "block" else "")
    done = in_a_process(target, body, before=before)
    assert done.returncode == -signal.SIGKILL, done
    between = step == "after exchange" and not exchanges
    if between:
        assert not target.exists()
        sentence = interrupted(target)
        assert sentence is not None
        assert re.search(r"is missing, but .*former holds the former artifact.*run compress again", sentence)
    else:
        assert interrupted(target) is None
        assert (target / "mark").read_text() == ("new" if step in ("after exchange", "former removed") else "old")
    assert len(names(tmp_path)) > 1
    # Not only the next writer of the same target cleans: any in the same place does.
    notes = stage(tmp_path / "other")
    if step != "envelope":  # which has no mark yet that says whose it is
        assert names(tmp_path) <= {"out", "other", ".out.honed-lock"}
    assert (target / "mark").read_text() == (
        "new" if step in ("after exchange", "former removed") and not between else "old"
    )
    assert step == "envelope" or any("an interrupted run had left" in note for note in notes)
    assert any("was put back" in note for note in notes) == between
    stage(target, "newest", replaces="anything")
    assert (target / "mark").read_text() == "newest"
    assert names(tmp_path) == {"out", "other"}


def test_without_an_exchange_two_renames_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise atomic_rename.ExchangeError(38, "Function not implemented")

    monkeypatch.setattr(atomic_rename, "_renameat2", none)
    stage(tmp_path / "out", "old")
    assert stage(tmp_path / "out", "new", replaces="anything") == []
    assert (tmp_path / "out" / "mark").read_text() == "new"
    assert names(tmp_path) == {"out"}


def test_a_second_rename_that_fails_gives_the_old_one_its_name_again(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise atomic_rename.ExchangeError(38, "Function not implemented")

    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(staging, "exchange", none)
    monkeypatch.setattr(staging, "rename_into_free", refuse)
    with pytest.raises(ArtifactError, match="Input/output error"):
        stage(old, replaces="anything")


def test_what_was_not_replaced_after_all_is_never_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the new one nor the old one can be renamed to the name any more."""
    target = tmp_path / "out"
    stage(target, "old")

    def none(*_: object) -> None:
        raise atomic_rename.ExchangeError(38, "Function not implemented")

    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(staging, "exchange", none)
        patch.setattr(staging, "rename_into_free", refuse)
        patch.setattr("honed.checkpoints.artifact.envelope.rename_into_free", refuse)
        with pytest.raises(ArtifactError, match="Input/output error"):
            stage(target, replaces="anything")
    assert "former holds the former artifact" in str(interrupted(target))
    with pytest.raises(ArtifactError, match="exists already"):
        stage(target)
    assert (target / "mark").read_text() == "old"
    assert names(tmp_path) == {"out"}


def test_what_others_have_under_similar_names_is_never_touched(tmp_path: Path) -> None:
    files: dict[str, str] = {}
    for role in ("partial", "previous", "lock", "honed-partial", "honed-partial-0123456789abcdef"):
        folder = tmp_path / f".out.{role}"
        folder.mkdir()
        (folder / "thesis.txt").write_text("years")
        files[folder.name] = "years"
    # One that looks like ours, without a mark that fits its name.
    copied = tmp_path / ".out.honed-partial-0123456789abcde0"
    copied.mkdir()
    (copied / "content").mkdir()
    (copied / "content" / "thesis.txt").write_text("years")
    (copied / "honed-staging.json").write_text(
        '{"honed": "staging", "token": "0123456789abcdef", "target": "out", "replaces": "anything", "inode": [1, 2]}'
    )
    before = names(tmp_path)
    stage(tmp_path / "out")
    stage(tmp_path / "out", replaces="anything")
    assert names(tmp_path) == {*before, "out"}
    assert (copied / "content" / "thesis.txt").read_text() == "years"
    assert all((tmp_path / name / "thesis.txt").read_text() == text for name, text in files.items())


def test_a_second_writer_is_refused_by_the_id_of_the_first(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with staged_directory(target, needed=0) as directory:
        with pytest.raises(ArtifactError, match=rf"another process \(id {os.getpid()}\) is writing it"):
            stage(target)
        stage(tmp_path / "other")  # which leaves the living one alone
        (directory / "mark").write_text("first")
    assert (target / "mark").read_text() == "first"
    assert names(tmp_path) == {"out", "other"}


def test_what_appears_under_the_name_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "out"
    replacing: tuple[Replaces, ...] = ("nothing", "artifact")
    for replaces in replacing:
        with (
            pytest.raises(ArtifactError, match="appeared while"),
            staged_directory(target, needed=0, replaces=replaces),
        ):
            target.mkdir()
            (target / "thesis.txt").write_text("years")
        assert (target / "thesis.txt").read_text() == "years"
        assert names(tmp_path) == {"out"}
        (target / "thesis.txt").unlink()
        target.rmdir()


def test_a_directory_that_cannot_be_removed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage(tmp_path / "out", "old")
    monkeypatch.setattr("honed.checkpoints.artifact.envelope._remove_tree", lambda path: f"{path}: it is busy")
    (note,) = stage(tmp_path / "out", replaces="anything")
    assert "is left over and could not be removed" in note
    assert (tmp_path / "out" / "mark").read_text() == "new"
    monkeypatch.undo()
    assert "an interrupted run had left" in stage(tmp_path / "out", replaces="anything")[0]
    assert names(tmp_path) == {"out"}
