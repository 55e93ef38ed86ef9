"""Places that reports are written to, looked at before anything is measured."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from honed.cli.report_files import check_directory, check_files, write_text
from honed.errors import MachineError, SourceError


def test_good_places_are_left_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "there.json").write_text("kept")
    (tmp_path / "link.json").symlink_to("there.json")
    check_files({"--out": tmp_path / "there.json", "--page": tmp_path / "new.md", "--plot": None})
    check_files({"--out": tmp_path / "link.json"})
    check_directory("--out", tmp_path)
    check_directory("--out", tmp_path / "a" / "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.json", "there.json"]
    assert (tmp_path / "there.json").read_text() == "kept"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere/x.json", "there is no directory"),
        ("file/x.json", "there is no directory"),
        ("directory", "is there and is no file"),
        ("fifo", "is there and is no file"),
        ("lost", "is there and is no file"),
        ("x" * 250, "cannot be written: File name too long"),
        ("x" * 300, "File name too long"),
        ("nul\0", "give the name of a file"),
    ],
)
def test_places_that_no_report_can_be_written_to(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "lost").symlink_to("nothing")
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(SourceError, match=message) as raised:
        check_files({"--page": tmp_path / name})
    assert str(raised.value).startswith("--page ")
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_two_options_do_not_write_one_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(SourceError, match=r"--page .*: --out writes the same file"):
        check_files({"--out": tmp_path / "x", "--page": tmp_path / "a" / ".." / "x"})


@pytest.mark.parametrize("name", ["file", "file/below", "x" * 300])
def test_directories_that_cannot_be_made(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match=r"^--out .*(is not a directory|name too long)"):
        check_directory("--out", tmp_path / name)


def _tell(into: int, check: Callable[..., None], *arguments: object) -> None:
    try:
        check(*arguments)
    except SourceError as error:
        os.write(into, f"{error}\n".encode())


@pytest.mark.skipif(os.getuid() != 0, reason="takes another user's rights")
def test_directory_of_somebody_else() -> None:
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        # Whatever happens, this process must not run on as a second pytest.
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            _tell(into, check_files, {"--out": Path("/etc/r.json")})
            _tell(into, check_directory, "--out", Path("/etc/a/b"))
        finally:
            os._exit(0)
    os.close(into)
    with os.fdopen(out) as pipe:
        lines = pipe.read().splitlines()
    os.waitpid(child, 0)
    assert lines == [
        f"--out '{place}': cannot be written: Permission denied; give another place"
        for place in ("/etc/r.json", "/etc/a/b")
    ]


def test_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_text(tmp_path / "x.md", "one\n")
    write_text(tmp_path / "x.md", "two\n")
    assert (tmp_path / "x.md").read_text() == "two\n"
    (tmp_path / "taken").mkdir()
    with pytest.raises(MachineError, match="cannot be written: "):
        write_text(tmp_path / "taken", "three\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["taken", "x.md"]


def test_a_file_of_somebody_else_beside_a_report_is_kept(tmp_path: Path) -> None:
    theirs = tmp_path / ".page.md.partial"
    theirs.write_text("not honed's")
    write_text(tmp_path / "page.md", "the report")
    assert (tmp_path / "page.md").read_text() == "the report"
    assert theirs.read_text() == "not honed's"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".page.md.partial", "page.md"]
