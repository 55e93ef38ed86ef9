"""Which output is refused before any work: a name that is none, a place that is taken, the model itself.

Not here: writing (`staging.py`), and whether what is replaced is honed's own (`ownership.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from honed.checkpoints.artifact import ownership
from honed.checkpoints.artifact.envelope import Replaces
from honed.checkpoints.artifact.ownership import OwnArtifact
from honed.errors import ArtifactError, ParameterError


def read_output(out: str | Path) -> Path:
    """What was given as the directory to write. ParameterError where it ends in no name: empty, `.`, `..`, `/`."""
    text = os.fspath(out)
    if "\0" in text:
        raise ParameterError("output", text, "must be a path, without NUL")
    if text.rstrip("/").rpartition("/")[2] in ("", ".", ".."):
        raise ParameterError(
            "output", text, "must end in the name of the directory to make, which is then renamed into place: -o NAME"
        )
    return Path(text)


def place_of(target: Path) -> Path:
    """A target with links and dots of the directories above it resolved; its own name stays, a link or not."""
    return Path(os.path.realpath(target.parent)) / target.name


def check_target(target: Path, *, replaces: Replaces) -> OwnArtifact | None:
    """Refuses, before any work, a target that is there and may not be replaced, or that cannot be written.

    What was proved of an artifact that is to be replaced; None where there is none. Errors: ArtifactError.
    """
    place = place_of(target)
    proved = None
    try:
        if os.path.lexists(place):
            proved = _check_existing(target, place, replaces)
        existing = next(folder for folder in place.parents if os.path.lexists(folder))
        if not existing.is_dir():
            raise ArtifactError(f"{target}: {existing} is not a directory")
        if len(os.fsencode(place.name)) > os.pathconf(existing, "PC_NAME_MAX"):
            raise ArtifactError(f"{target}: the name is too long for the file system; choose a shorter one")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise ArtifactError(f"{target}: {existing} cannot be written to; choose another output")
    except OSError as error:
        raise ArtifactError(f"{target}: cannot be used: {error.strerror or error}; choose another output") from None
    return proved


def check_apart(target: Path, source: Path, files: Iterable[Path]) -> None:
    """Refuses an output that has to do with the model that is read: it in the output, or the output in it.

    source: the directory or file of the model; files: all that is read of it. ArtifactError.
    """
    place = Path(os.path.realpath(target))
    root = Path(os.path.realpath(source))
    for file in (source, *files):
        for path in (Path(os.path.realpath(file)), place_of(file)):
            if path.is_relative_to(place):
                raise ArtifactError(f"{target}: {file}, which is to be compressed, lies there; choose another output")
    if place.is_relative_to(root) or _passes_through(place, root):
        raise ArtifactError(f"{target}: lies in {source}, which is to be compressed; choose an output outside of it")


def _passes_through(place: Path, root: Path) -> bool:
    """Whether one of the directories above is the source under another name, as where it is mounted twice."""
    try:
        found = root.stat()
        return any(folder.is_dir() and os.path.samestat(folder.stat(), found) for folder in place.parents)
    except OSError:
        return False


def _check_existing(target: Path, place: Path, replaces: Replaces) -> OwnArtifact | None:
    if replaces == "nothing":
        raise ArtifactError(f"{target}: exists already; choose another output or pass --overwrite")
    if place.is_symlink() or not place.is_dir():
        kind = "a link" if place.is_symlink() else "no directory"
        raise ArtifactError(f"{target}: is {kind}; --overwrite replaces only an artifact that honed wrote")
    if os.path.ismount(place):
        raise ArtifactError(f"{target}: is a mount point, which cannot be replaced; choose an output inside of it")
    if replaces == "anything" or not any(place.iterdir()):
        return None
    return ownership.prove(place)
