"""Files that somebody named, opened so that none of them can hold the process up: regular files only, with a limit.

A named pipe, a device or a socket never ends or waits for somebody; a directory is no file. All of them are refused
with a word on what they are. Not here: what a file holds (`checkpoints/json_files.py`), and mapping (`checkpoints/
mapping.py`).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from honed.errors import FormatError, SourceError

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_POINTERS = (b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/")
_PAGES = (b"<!doctype html", b"<html")


def open_regular(path: Path) -> BinaryIO:
    """A regular file, opened for reading. Never waits. SourceError for anything else, and where it cannot be read."""
    return os.fdopen(open_descriptor(path), "rb")


def open_descriptor(path: Path) -> int:
    """The same as a descriptor, which the caller closes."""
    try:
        _check_kind(path, path.stat())  # before it is opened: to open a device can mean something to it
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    try:
        _check_kind(path, os.fstat(descriptor))  # what was opened, whatever the name led to before
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_regular(path: Path, limit: int) -> bytes:
    """A whole file. Errors: SourceError as for `open_regular`, FormatError if it is over `limit` bytes."""
    with open_regular(path) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            data = b"" if size > limit else file.read(limit + 1)
        except OSError as error:
            raise _unreadable(path, error) from None
    if size > limit or len(data) > limit:
        raise FormatError(path, "size", f"is {max(size, len(data))} bytes, must be at most {limit}")
    return data


def refuse_pointer(data: bytes | memoryview, path: Path, *, pages: bool = True) -> None:
    """SourceError where a file's first bytes show that it only stands for the file that was meant.

    Git LFS leaves such a pointer where a repository was cloned without it; a download that failed leaves a web page,
    which `pages` says is looked for too.
    """
    begin = bytes(data[:200])
    if begin.startswith(_POINTERS):
        size = begin.partition(b"\nsize ")[2].split(b"\n")[0].decode("ascii", "replace")
        stands = f" (of {size} bytes)" if size.isdigit() and len(size) < 20 else ""
        raise SourceError(
            f"{path}: is a Git LFS pointer and not the file itself{stands}; fetch it with: git lfs pull, "
            "or download the model again"
        )
    if pages and begin.lstrip()[:20].lower().startswith(_PAGES):
        raise SourceError(f"{path}: is a web page and not the file itself; download it again")


def _check_kind(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "no regular file")
        raise SourceError(f"{path}: cannot be read: is {kind}, must be a regular file")


def _unreadable(path: Path, error: OSError | ValueError) -> SourceError:
    reason = error.strerror if isinstance(error, OSError) else None
    return SourceError(f"{path}: cannot be read: {reason or error}")
