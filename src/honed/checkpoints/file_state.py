"""What tells at a start, without reading the weights, that the files of a checkpoint are those of an earlier start.

Not here: what identifies their contents wherever they lie (`content_hash.py`).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path

from honed.checkpoints.base import Checkpoint, Manifested

SETTLED_S = 2.0
"""Files changed less long ago are not identified: the clock of a file system may show a second change as the first."""


def identity(checkpoint: Checkpoint) -> str | None:
    """A digest that another state of the files does not have; None where none can be given.

    Of an artifact the checksum of its manifest, which holds that of every file: it says what the weights must be, and
    `verify` whether they are. Of other files device, inode, size, and the times of the last change of contents and of
    inode; the system sets the latter at every change, and no program can set it back.
    """
    if isinstance(checkpoint, Manifested):
        return f"artifact:{checkpoint.manifest['checksum']}"
    state = state_of(checkpoint.files)
    if state is None:
        return None
    config = json.dumps(checkpoint.config, sort_keys=True, default=repr)
    return f"files:{hashlib.sha256(f'{config}{state}'.encode()).hexdigest()}"


def state_of(files: Sequence[Path]) -> str | None:
    """A digest that another state of the files does not have; None where none can be given."""
    digest = hashlib.sha256()
    newest = 0
    try:
        for file in files:
            found = file.stat()
            newest = max(newest, found.st_ctime_ns, found.st_mtime_ns)
            state = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            digest.update(f"{file.resolve()}:{state}\n".encode("utf-8", "surrogateescape"))
    except OSError:
        return None
    settled = bool(files) and time.time_ns() - newest > SETTLED_S * 1e9
    return digest.hexdigest() if settled else None
