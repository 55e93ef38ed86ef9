"""What identifies the files of a checkpoint.

Only contents count: a model that is moved or downloaded again keeps its fingerprint, a changed byte gives another.
"""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from honed.checkpoints.mapping import watch

# Each piece is hashed in one call: a thread that hashes beside a busy one waits for the interpreter between calls.
_PIECE = 64 << 20
_SMALL = 1 << 20

# Results about a model that are kept beside it; no loader reads them.
_RESULTS = frozenset({"certificate.json"})


def fingerprint(path: Path, weight_files: Iterable[Path]) -> str:
    """SHA-256 over the names and contents of the weight files and, for a directory, of the configuration, tokenizer
    and template files in it."""
    files = {file.resolve(): file.name for file in weight_files}
    if path.is_dir():
        for pattern in ("*.json", "*.jinja", "*.model", "*.txt"):
            found = (file for file in path.glob(pattern) if file.name not in _RESULTS and file.is_file())
            files.update({file.resolve(): file.name for file in found})
    digest = hashlib.sha256()
    for file, name in sorted(files.items(), key=lambda item: (item[1], str(item[0]))):
        digest.update(f"{len(name)}:{name}:{file_sha256(file)}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """Hex digest of a file, which is mapped; of its pages little stays in memory.

    OSError where it cannot be read or is no regular file: this never waits for what a pipe might bring.
    """
    digest = hashlib.sha256()
    with open(path, "rb", opener=_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        size = status.st_size
        if size <= _SMALL:
            digest.update(file.read())
            return digest.hexdigest()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
            watch(mapped, path)
            for begin in range(0, size, _PIECE):
                with view[begin : begin + _PIECE] as piece:
                    digest.update(piece)
                _let_go(mapped, begin, min(_PIECE, size - begin))
    return digest.hexdigest()


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _let_go(mapped: mmap.mmap, begin: int, size: int) -> None:
    if hasattr(mmap, "MADV_DONTNEED"):  # of a map that is only read: gives the pages back, loses nothing
        mapped.madvise(mmap.MADV_DONTNEED, begin, size)
