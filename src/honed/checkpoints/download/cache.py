"""The download cache: $XDG_CACHE_HOME/honed, or ~/.cache/honed.

A file appears under its final name only when it is whole and its SHA-256 is known; beside it lies FILE.sha256.json.
A later start trusts that record if the size still fits and does not hash again.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import BinaryIO

from honed.errors import SourceError
from honed.records import dataclass

CHUNK = 1 << 20


@dataclass(frozen=True)
class Digest:
    """What a file must be, or was found to be."""

    size: int
    sha256: str


def cache_directory() -> Path:
    """Where downloads are kept. Not created here."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "honed"


def find(path: Path, expected: Digest | None) -> Path | None:
    """The cached file if its record is there, fits its size and, where one is given, `expected`."""
    try:
        record = json.loads(_record(path).read_text("utf-8"))
        found = Digest(record["size"], record["sha256"])
        size = path.stat().st_size
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return path if found.size == size and expected in (None, found) else None


def store(path: Path, stream: BinaryIO, size: int, expected: Digest | None) -> Path:
    """Copies `size` bytes of a stream to `path` in the cache and records their digest.

    Errors: SourceError if the stream is longer or shorter, if the digest is not `expected`, or if the disk is full;
    nothing is left under the final name then.
    """
    import shutil
    import tempfile

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path.parent).free
        if free < size:
            raise SourceError(f"{path.parent}: {size} bytes are needed, {free} are free")
        descriptor, temporary = tempfile.mkstemp(prefix=".partial-", dir=path.parent)
    except OSError as error:
        raise SourceError(f"{path.parent}: the cache cannot be written: {error.strerror or error}") from None
    partial = Path(temporary)
    try:
        with os.fdopen(descriptor, "wb") as file:
            found = _copy(stream, file, size, path.name)
            file.flush()
            os.fsync(file.fileno())
        if expected is not None and found != expected:
            raise SourceError(f"{path.name}: SHA-256 is {found.sha256}, recorded is {expected.sha256}")
        _write_record(path, found)
        partial.replace(path)
    except OSError as error:
        raise SourceError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)
    return path


def _copy(stream: BinaryIO, file: BinaryIO, size: int, name: str) -> Digest:
    digest = hashlib.sha256()
    copied = 0
    while chunk := stream.read(CHUNK):
        copied += len(chunk)
        if copied > size:
            break
        digest.update(chunk)
        file.write(chunk)
    if copied != size:
        raise SourceError(f"{name}: is {'over' if copied > size else 'only'} {min(copied, size)} bytes, not {size}")
    return Digest(copied, digest.hexdigest())


def _record(path: Path) -> Path:
    return path.with_name(path.name + ".sha256.json")


def _write_record(path: Path, digest: Digest) -> None:
    record = _record(path)
    partial = record.with_name(f".partial-{os.getpid()}-{record.name}")
    partial.write_text(json.dumps({"size": digest.size, "sha256": digest.sha256}) + "\n", "utf-8")
    partial.replace(record)
