"""Proof that a directory is an artifact of honed's and nothing else, and its removal piece by piece.

Proved is what the manifest says: its checksum is right, every file in the directory is listed and has the bytes that it
lists. Documents (`names.is_document`) are the user's where they are not as honed wrote them: they are carried over into
what replaces the artifact. Anything else is foreign, and then nothing is replaced. Removed is only what was proved and
has not changed since, so what appears or changes meanwhile is left.
"""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from honed.checkpoints.artifact.manifest import MANIFEST, FileRecord, Manifest, read_manifest
from honed.checkpoints.artifact.names import CERTIFICATE, is_document
from honed.checkpoints.content_hash import file_sha256
from honed.errors import ArtifactError, HonedError, plain

State = tuple[int, int, int, int, int]
_CERTIFIES = frozenset({"candidate", "reference", "intervals", "settings", "tokens"})


@dataclass(frozen=True)
class OwnArtifact:
    """What was proved: files of honed's by their path within it, with their state, and the user's documents."""

    files: Mapping[str, State]
    documents: tuple[str, ...]


def prove(directory: Path, *, complete: bool = True) -> OwnArtifact:
    """Looks at every file. ArtifactError names the first thing that honed did not write, or that is not as it was.

    Without `complete` files that are listed may be missing, as where a removal was cut short.
    """
    manifest = _manifest(directory)
    folders = {"/".join(name.split("/")[:depth]) for name in manifest.files for depth in range(1, name.count("/") + 1)}
    own: dict[str, State] = {}
    documents: list[str] = []
    for name, found in _walk(directory):
        if stat.S_ISDIR(found.st_mode):
            if name not in folders:
                raise _foreign(directory, name)
        elif not stat.S_ISREG(found.st_mode):
            raise _foreign(directory, name)
        elif name == MANIFEST or (name == CERTIFICATE and _is_certificate(directory / name)):
            own[name] = state(found)
        elif is_document(name):
            if _is_as_written(directory / name, found, manifest.documents.get(name)):
                own[name] = state(found)
            else:
                documents.append(name)
        elif name not in manifest.files:
            raise _foreign(directory, name)
        elif not _is_as_written(directory / name, found, manifest.files[name]):
            raise ArtifactError(f"{directory / name}: was changed after honed wrote it, {_REMEDY}")
        else:
            own[name] = state(found)
    missing = sorted(set(manifest.files) - set(own))
    if complete and missing:
        raise ArtifactError(f"{directory / missing[0]}: is missing, though {MANIFEST} lists it, {_REMEDY}")
    return OwnArtifact(own, tuple(documents))


def is_unchanged(directory: Path, proved: OwnArtifact) -> bool:
    """Whether the directory still holds what was proved and nothing beside it."""
    found = {name: entry for name, entry in _walk(directory) if not stat.S_ISDIR(entry.st_mode)}
    return set(found) == {*proved.files, *proved.documents} and all(
        state(found[name]) == expected for name, expected in proved.files.items()
    )


def carry_documents(directory: Path, proved: OwnArtifact, into: Path) -> None:
    """The user's documents, as they are, also in `into`, in place of those that honed wrote there."""
    for name in proved.documents:
        (into / name).unlink(missing_ok=True)
        try:
            os.link(directory / name, into / name, follow_symlinks=False)
        except OSError:  # a file system without links, a file of another user
            shutil.copy2(directory / name, into / name, follow_symlinks=False)


def remove(directory: Path, proved: OwnArtifact, kept_in: Path) -> None:
    """Removes what was proved and is still so, documents where `kept_in` has them, and then the folders if empty."""
    for name, expected in proved.files.items():
        if name != MANIFEST:
            _remove(directory / name, expected)
    for name in proved.documents:
        with suppress(OSError):
            if _is_the_same(directory / name, kept_in / name):
                (directory / name).unlink()
    for name in sorted({name.rpartition("/")[0] for name in proved.files} - {""}, key=len, reverse=True):
        with suppress(OSError):
            (directory / name).rmdir()
    if MANIFEST in proved.files and [path.name for path in directory.iterdir()] == [MANIFEST]:
        # Last: what is left of a removal that is cut short can be proved by it.
        _remove(directory / MANIFEST, proved.files[MANIFEST])
    with suppress(OSError):
        directory.rmdir()


def state(found: os.stat_result) -> State:
    """Another one after every change of the file's contents."""
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


_REMEDY = "so the directory is not replaced; choose another output, or move it away yourself"


def _manifest(directory: Path) -> Manifest:
    path = directory / MANIFEST
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise _foreign(directory, MANIFEST)
        return read_manifest(path)
    except FileNotFoundError:
        raise ArtifactError(
            f"{directory}: --overwrite replaces only an artifact that honed wrote, and this is none (no {MANIFEST})"
        ) from None
    except ArtifactError:
        raise
    except HonedError as error:  # no JSON, not to be read
        raise ArtifactError(f"{error}, {_REMEDY}") from None


def _foreign(directory: Path, name: str) -> ArtifactError:
    return ArtifactError(f"{directory / name}: was not written by honed, {_REMEDY}")


def _walk(directory: Path, prefix: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """Path within the directory and state of everything in it, in order; no link is followed."""
    with os.scandir(directory) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        found = entry.stat(follow_symlinks=False)
        yield f"{prefix}{entry.name}", found
        if stat.S_ISDIR(found.st_mode):
            yield from _walk(directory / entry.name, f"{prefix}{entry.name}/")


def _is_as_written(path: Path, found: os.stat_result, record: FileRecord | None) -> bool:
    return record is not None and found.st_size == record.nbytes and file_sha256(path) == record.sha256


def _is_certificate(path: Path) -> bool:
    """Whether it is what `honed eval --record` leaves, which belongs to this artifact alone."""
    try:
        value = json.loads(path.read_text("utf-8")) if path.stat().st_size < 1 << 20 else None
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(value, dict) and set(value) >= _CERTIFIES


def _is_the_same(path: Path, other: Path) -> bool:
    found = other.lstat()
    if not stat.S_ISREG(found.st_mode) or not stat.S_ISREG(path.lstat().st_mode):
        return False
    return path.samefile(other) or filecmp.cmp(path, other, shallow=False)


def _remove(path: Path, expected: State) -> None:
    with suppress(OSError):
        if state(path.lstat()) == expected:
            path.unlink()


def remains(directory: Path) -> str | None:
    """The first thing of others in what is left of a directory, as it is shown; None if it is gone."""
    try:
        names = [name for name, found in _walk(directory) if not stat.S_ISDIR(found.st_mode)]
    except OSError:
        return None
    return plain(next((name for name in names if name != MANIFEST), ""))
