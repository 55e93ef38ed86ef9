"""Only regular files are read, and nothing that is named holds the process up."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from honed.errors import FormatError, SourceError
from honed.regular_files import open_regular, read_regular, refuse_pointer


def test_whole_files_and_their_limit(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    assert read_regular(path, 3) == b"abc"
    with open_regular(path) as file:
        assert file.read() == b"abc"
    with pytest.raises(FormatError, match="x: size: is 3 bytes, must be at most 2"):
        read_regular(path, 2)
    with path.open("r+b") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(FormatError, match="is 1099511627776 bytes"):
        read_regular(path, 1 << 20)


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="no /proc")
def test_files_that_say_no_size_are_bounded_too() -> None:
    assert read_regular(Path("/proc/version"), 1 << 16)
    with pytest.raises(FormatError, match="must be at most 5"):
        read_regular(Path("/proc/version"), 5)


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read: is a directory, must be a regular file"):
        open_regular(tmp_path)
    with pytest.raises(SourceError, match="none: cannot be read: No such file"):
        open_regular(tmp_path / "none")
    with pytest.raises(SourceError, match=r"cannot be read: .*null"):
        open_regular(tmp_path / "a\0b")
    with pytest.raises(SourceError, match="cannot be read: File name too long"):
        open_regular(tmp_path / ("x" * 5000))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
@pytest.mark.timeout(20)
def test_what_never_ends_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="is a named pipe"):
        open_regular(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    with pytest.raises(SourceError, match="is a named pipe"):
        read_regular(tmp_path / "link", 10)
    with pytest.raises(SourceError, match="is a device"):
        read_regular(Path("/dev/zero"), 10)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        with pytest.raises(SourceError, match="is a socket"):
            open_regular(tmp_path / "s")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.touch(0o000)
    with pytest.raises(SourceError, match="cannot be read: Permission denied"):
        open_regular(path)


def test_pointers() -> None:
    path = Path("model.safetensors")
    refuse_pointer(b"", path)
    refuse_pointer(b"version of something else", path)
    with pytest.raises(
        SourceError, match=r"model.safetensors: is a Git LFS pointer .*\(of 12345 bytes\).* git lfs pull"
    ):
        refuse_pointer(b"version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 12345\n", path)
    with pytest.raises(SourceError, match="is a Git LFS pointer and not the file itself; fetch it"):
        refuse_pointer(memoryview(b"version https://git-lfs.github.com/spec/v1\nsize x\n"), path)
    with pytest.raises(SourceError, match="is a web page"):
        refuse_pointer(b"\n<!DOCTYPE html>\n<html>", path)
