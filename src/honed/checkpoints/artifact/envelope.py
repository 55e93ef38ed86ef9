"""The hidden directory in which one is made that is to appear whole: `.NAME.honed-partial-TOKEN`.

    honed-staging.json   the mark: token, name, and the inode of `content` as it was made
    content              what is being made; after an exchange, for an instant, what was replaced
    former               what was replaced, until it is removed

The mark proves that honed made it: nobody else knows the token before, and it is read only from a directory and a file
of this very user. Without it nothing is removed but empty directories. The mark goes last, so whatever a killed process
left can be proved and is dealt with by the next one (`recover`). Not here: when things are renamed (`staging.py`).
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from honed.checkpoints.artifact import ownership
from honed.checkpoints.artifact.atomic_rename import rename_into_free
from honed.checkpoints.artifact.names import sibling
from honed.errors import ArtifactError

Replaces = Literal["nothing", "artifact", "anything"]
"""What may be there already: an artifact that can be proved to be honed's, or, where the place itself belongs to honed,
as in its caches, anything."""

MARK = "honed-staging.json"
_ROLE = "honed-partial"
_NAME = re.compile(rf"\..+\.{_ROLE}-([0-9a-f]{{16}})", re.DOTALL)
_LONGEST_MARK = 4096


@dataclass(frozen=True)
class Envelope:
    """One such directory, made by this process or left by another; `inode` is that of its content when it was made."""

    path: Path
    target: Path
    replaces: Replaces
    inode: tuple[int, int]

    @property
    def content(self) -> Path:
        return self.path / "content"

    @property
    def former(self) -> Path:
        return self.path / "former"

    def name_former(self) -> None:
        """Gives what was exchanged into the place of the content the name that says so."""
        if self.holds_former_as_content():
            self.content.rename(self.former)

    def holds_former_as_content(self) -> bool:
        try:
            found = self.content.lstat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) != self.inode

    def remove(self) -> str | None:
        """Removes what honed made. What is left and why, as a sentence; None if nothing is."""
        with suppress(OSError):
            self.name_former()
        problem = self._remove_former()
        if problem is None and not self.holds_former_as_content():
            problem = _remove_tree(self.content)
        if problem is None:
            with suppress(OSError):
                (self.path / MARK).unlink(missing_ok=True)
                self.path.rmdir()
        if not os.path.lexists(self.path):
            return None
        return f"{self.path} is left over and could not be removed: {problem or 'it holds what honed did not write'}"

    def put_back(self) -> bool:
        """Gives what was replaced its name again where nothing has it: the process ended between two renames."""
        self.name_former()
        if os.path.lexists(self.target) or not self.former.is_dir():
            return False
        rename_into_free(self.former, self.target)
        return True

    def _remove_former(self) -> str | None:
        if not self.former.is_dir() or self.former.is_symlink():
            return None
        if not os.path.lexists(self.target):  # it was not replaced after all
            return f"{self.former} is what {self.target} was; rename it to that"
        if self.replaces == "anything":
            return _remove_tree(self.former)
        with suppress(OSError):
            self.former.rmdir()  # an empty one was replaced
            return None
        try:
            ownership.remove(self.former, ownership.prove(self.former, complete=False), self.target)
        except (ArtifactError, OSError) as error:
            return str(error)
        left = ownership.remains(self.former)
        return None if left is None else f"{self.former / left} is not as honed wrote it"


def create(target: Path, replaces: Replaces) -> Envelope:
    """An envelope with an empty content."""
    token = secrets.token_hex(8)
    path = sibling(target, f"{_ROLE}-{token}")
    try:
        path.mkdir(mode=0o700)
        (path / "content").mkdir()
        found = (path / "content").lstat()
        made = Envelope(path, target, replaces, (found.st_dev, found.st_ino))
        mark = {"honed": "staging", "token": token, "target": target.name, "replaces": replaces, "inode": made.inode}
        handle = os.open(path / MARK, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, json.dumps(mark).encode())
        finally:
            os.close(handle)
    except BaseException:
        for remove in ((path / MARK).unlink, (path / "content").rmdir, path.rmdir):
            with suppress(OSError):
                remove()
        raise
    return made


def find(parent: Path, target: Path | None = None) -> Iterator[Envelope]:
    """Those of a directory that bear honed's mark, whoever made them; of one target only, if it is given."""
    try:
        paths = sorted(path for path in parent.iterdir() if _NAME.fullmatch(path.name))
    except OSError:
        return
    for path in paths:
        found = _read(path)
        if found is not None and target in (None, found.target):
            yield found


def remove_unmarked(parent: Path, target: Path) -> None:
    """Empty ones of a target that were made, and whose process ended before it could mark them."""
    prefix = sibling(target, f"{_ROLE}-").name
    for path in parent.iterdir():
        if path.name.startswith(prefix) and _NAME.fullmatch(path.name):
            with suppress(OSError):
                if path.is_symlink() or path.stat().st_uid != os.geteuid() or _holds_anything(path):
                    continue
                (path / MARK).unlink(missing_ok=True)
                (path / "content").rmdir()
            with suppress(OSError):
                path.rmdir()


def _holds_anything(path: Path) -> bool:
    """Beside an empty content, and a mark that nothing was written into."""
    names = {entry.name for entry in path.iterdir()}
    mark = path / MARK
    return not names <= {MARK, "content"} or (
        MARK in names and (mark.is_symlink() or not mark.is_file() or mark.stat().st_size > 0)
    )


def _read(path: Path) -> Envelope | None:
    """None where it has no mark that proves it to be honed's."""
    try:
        folder = path.lstat()
        handle = os.open(path / MARK, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            mark = os.fstat(handle)
            text = os.read(handle, _LONGEST_MARK)
        finally:
            os.close(handle)
        value = json.loads(text)
        token, name, replaces, inode = (value[key] for key in ("token", "target", "replaces", "inode"))
        target = path.with_name(name)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    ours = stat.S_ISDIR(folder.st_mode) and stat.S_ISREG(mark.st_mode) and mark.st_nlink == 1
    ours = ours and folder.st_uid == mark.st_uid == os.geteuid()
    ours = (
        ours
        and path.name == sibling(target, f"{_ROLE}-{token}").name
        and replaces in ("nothing", "artifact", "anything")
    )
    if not ours or not isinstance(inode, list) or len(inode) != 2 or not all(isinstance(part, int) for part in inode):
        return None
    return Envelope(path, target, replaces, (inode[0], inode[1]))


def _remove_tree(path: Path) -> str | None:
    problems: list[str] = []

    def failed(function: object, where: str, information: tuple[type[BaseException], BaseException, object]) -> None:
        error = information[1]
        if not isinstance(error, FileNotFoundError):
            problems.append(f"{where}: {getattr(error, 'strerror', None) or error}")

    shutil.rmtree(path, onerror=failed)
    return problems[0] if problems else None
