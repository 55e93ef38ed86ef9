"""The download cache: $XDG_CACHE_HOME/honed, or ~/.cache/honed.

A file appears under its final name only when it is whole and its SHA-256 is known; beside it lies FILE.sha256.json.
A later start trusts that record if the size still fits and does not hash again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import BinaryIO

from honed.errors import HonedError, MachineError, SourceError
from honed.records import dataclass
from honed.regular_files import open_regular, read_regular

CHUNK = 1 << 20
_RECORD_BYTES = 4096
RECORD = ".sha256.json"
"""What the name of a file's record ends with."""


@dataclass(frozen=True)
class Digest:
    """What a file must be, or was found to be."""

    size: int
    sha256: str


class NoCacheError(SourceError, RuntimeError):
    """There is no home directory. Also the error that the standard library has for that."""


def cache_directory() -> Path:
    """Where downloads are kept. Not created here.

    NoCacheError where there is no place for it: who can do without a cache goes on without.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    if "\0" not in base and Path(base).is_absolute():
        return Path(base) / "honed"
    try:
        return Path.home() / ".cache" / "honed"
    except RuntimeError:
        raise NoCacheError(
            "there is no home directory to keep a cache in; set XDG_CACHE_HOME or HOME to a writable directory"
        ) from None


def find(path: Path, expected: Digest | None) -> Path | None:
    """The cached file if its record is there, fits its size and, where one is given, `expected`.

    A record that is damaged or missing is made again, where `expected` says what the file must be and it is that.
    """
    try:
        size = path.stat().st_size
    except OSError:
        return None
    found = _read_record(path)
    if found is None:
        return _record_again(path, expected) if expected is not None and expected.size == size else None
    return path if found.size == size and expected in (None, found) else None


def _read_record(path: Path) -> Digest | None:
    try:
        record = json.loads(read_regular(_record(path), _RECORD_BYTES))
        return Digest(int(record["size"]), str(record["sha256"]))
    except (HonedError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _record_again(path: Path, expected: Digest) -> Path | None:
    try:
        with open_regular(path) as file:
            digest = hashlib.sha256()
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        found = Digest(expected.size, digest.hexdigest())
        if found == expected:
            _write_record(path, found)
    except (HonedError, OSError):
        return None
    return path if found == expected else None


def store(path: Path, stream: BinaryIO, size: int, expected: Digest | None) -> Path:
    """Copies `size` bytes of a stream to `path` in the cache and records their digest.

    Errors: SourceError if the stream is longer or shorter, or if the digest is not `expected`, MachineError if the disk
    is full; nothing is left under the final name then.
    """
    import shutil
    import tempfile

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path.parent).free
        if free < size:
            raise MachineError(f"{path.parent}: the disk is too full: {size} bytes are needed, {free} are free")
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
        kind = MachineError if error.errno in (errno.ENOSPC, errno.EDQUOT) else SourceError
        raise kind(f"{path}: cannot be written: {error.strerror or error}") from None
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
    return path.with_name(path.name + RECORD)


def _write_record(path: Path, digest: Digest) -> None:
    record = _record(path)
    partial = record.with_name(f".partial-{os.getpid()}-{record.name}")
    partial.write_text(json.dumps({"size": digest.size, "sha256": digest.sha256}) + "\n", "utf-8")
    partial.replace(record)
