"""Files of a model directory by name, and which links among them are followed.

A link that this user or root made leads wherever they meant it to: into the cache of a hub, to a file that another
tool keeps. One that somebody else made leads to files of the same owner only, so that a directory from a stranger
cannot point at what is ours. Names in indexes and manifests never lead out of the directory: who reads those checks
them (`huggingface/index.py`).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from honed.errors import FormatError, SourceError

_MOST_HOPS = 40


def find_member(directory: Path, name: str) -> Path | None:
    """The path of a file of the directory, None if there is nothing of that name.

    Errors: SourceError for what is no regular file or cannot be looked at, FormatError for a link that is not followed
    or leads nowhere.
    """
    path = directory
    try:
        for part in name.split("/"):
            path = path / part
            if stat.S_ISLNK(path.lstat().st_mode):
                _check_link(path)
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise SourceError(f"{path}: cannot be read: {reason or error}") from None
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "a named pipe, socket or device"
        raise SourceError(f"{path}: cannot be read: is {kind}, must be a regular file")
    return path


def _check_link(link: Path) -> None:
    target, makers = link, set()
    for _ in range(_MOST_HOPS):
        status = target.lstat() if target is link or os.path.lexists(target) else None
        if status is None:
            raise FormatError(link, "link", f"leads to {target}, which does not exist; copy the file here instead")
        if not stat.S_ISLNK(status.st_mode):
            break
        makers.add(status.st_uid)
        target = target.parent / target.readlink()
    else:
        raise FormatError(link, "link", "leads in a circle")
    if not hasattr(os, "geteuid"):
        return
    strangers = makers - {0, os.geteuid()}
    if strangers and strangers != {status.st_uid}:
        raise FormatError(
            link,
            "link",
            f"leads to {target} of another owner than the link; copy the file here, or make the link yourself",
        )
