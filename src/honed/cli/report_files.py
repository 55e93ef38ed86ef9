"""Files that a verb writes when it is done: looked at before it begins, written whole.

Minutes of measuring must not end in an error that could have been told at once.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from honed.errors import MachineError, SourceError, quoted


def check_files(files: dict[str, Path | None]) -> None:
    """By option: each will be a file of its own, in a directory that is there and can be written to.

    SourceError names the option's file and what is in the way. Nothing is left behind.
    """
    seen: dict[Path, str] = {}
    for option, file in files.items():
        if file is None:
            continue
        _check_file(option, file)
        place = file.parent.resolve() / file.name
        if place in seen:
            raise SourceError(f"{option} {quoted(str(file))}: {seen[place]} writes the same file; give it another name")
        seen[place] = option


def check_directory(option: str, directory: Path) -> None:
    """Files can be made in `directory`, or it can be made in the nearest parent that is there. SourceError as of
    `check_files`. Nothing is left behind."""
    place = directory
    while not _present(place, option, directory):
        place = place.parent
    if not place.is_dir():
        raise SourceError(f"{option} {quoted(str(directory))}: {quoted(str(place))} is not a directory")
    _try_to_write(option, directory, place)


def write_text(file: Path, text: str) -> None:
    """Beside its name and then renamed: whole or not at all. MachineError where the disk does not take it."""
    # A name that nobody has: what lies beside a report is not ours to replace.
    partial = file.with_name(f".honed-{os.urandom(8).hex()}")
    try:
        with partial.open("x", encoding="utf-8") as opened:
            opened.write(text)
        partial.replace(file)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise MachineError(f"{quoted(str(file))} cannot be written: {error.strerror or error}") from error


def _check_file(option: str, file: Path) -> None:
    if not _present(file.parent, option, file) or not file.parent.is_dir():
        raise SourceError(f"{option} {quoted(str(file))}: there is no directory {quoted(str(file.parent))} to write to")
    # A device or a fifo would be replaced by the file, a directory cannot be.
    if not file.name or (_present(file, option, file) and not file.is_file()):
        raise SourceError(f"{option} {quoted(str(file))}: is there and is no file; give the name of a file")
    # As long as the longest name that it has before it is renamed.
    _try_to_write(option, file, file.parent, prefix=f".{file.name}.")


def _present(place: Path, option: str, asked: Path) -> bool:
    try:
        place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"{option} {quoted(str(asked))}: {reason}; give the name of a file") from error
    return True


def _try_to_write(option: str, asked: Path, directory: Path, prefix: str = ".honed-") -> None:
    """Permissions do not tell it all: file systems that are read-only or full, names that are too long for them."""
    try:
        handle, name = tempfile.mkstemp(prefix=prefix, dir=directory)
        try:
            os.write(handle, b"\0")
        finally:
            os.close(handle)
            Path(name).unlink()
    except OSError as error:
        raise SourceError(
            f"{option} {quoted(str(asked))}: cannot be written: {error.strerror or error}; give another place"
        ) from error
