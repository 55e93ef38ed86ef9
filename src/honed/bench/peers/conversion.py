"""A checkpoint in the form that another system reads, made once and kept in the user's cache.

It lies under the fingerprint of the files it was made from, and appears whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from honed.checkpoints.base import Checkpoint

_fingerprints: dict[str, str] = {}


def converted(
    checkpoint: Checkpoint, form: str, make: Callable[[Path], None], *, needed: int, cache: Path | None = None
) -> Path:
    """The directory that holds `checkpoint` as `form`, made now by `make(empty directory)` if it is not there yet.

    form: what is in it and every setting that decides its contents, versions of the converter included, as the name
    of a directory. needed: bytes that must be free. ArtifactError where the disk is full or another process makes it.
    """
    from honed.checkpoints.artifact.staging import staged_directory

    target = _root(cache) / checkpoint_fingerprint(checkpoint)[:32] / form
    if target.is_dir():
        return target
    with staged_directory(target, needed=needed) as directory:
        make(directory)
    return target


def checkpoint_fingerprint(checkpoint: Checkpoint) -> str:
    """`fingerprint` of a checkpoint; files that have not changed since are not read a second time in this process."""
    from honed.checkpoints.content_hash import fingerprint
    from honed.checkpoints.file_state import identity

    known = identity(checkpoint)
    if known is not None and known in _fingerprints:
        return _fingerprints[known]
    found = fingerprint(checkpoint.path, checkpoint.files)
    if known is not None:
        _fingerprints[known] = found
    return found


def _root(cache: Path | None) -> Path:
    if cache is not None:
        return cache
    from honed.checkpoints.download.cache import cache_directory

    return cache_directory() / "peers" / "models"
