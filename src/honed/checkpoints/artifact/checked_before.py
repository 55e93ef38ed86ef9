"""Which artifacts were found to be as their manifest says, so that a later start hashes none of the same files again.

One small file an artifact under $XDG_CACHE_HOME/honed/verified, named by a digest of its directory. It holds a digest
of what the files must be and of their state when they were hashed (`checkpoints/file_state.py`): where either is
another one now, they are hashed again. Where nothing can be kept, nothing is said, and they are hashed at every start.

What another user could have written is not believed (`private_files.py`). What this does not find is a disk that gives
other bytes than were written. Packed weights have a checksum of their own, which is computed at every start
(`backends/packed_cache.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from honed.checkpoints.artifact.manifest import FileRecord
from honed.checkpoints.download.cache import cache_directory
from honed.checkpoints.file_state import state_of
from honed.checkpoints.private_files import read_private, write_private


class VerifiedState:
    """The state of the files of one artifact at the time of the call."""

    def __init__(self, directory: Path, files: Mapping[str, FileRecord]) -> None:
        """`files`: those of the artifact that are to be hashed."""
        state = state_of([directory / name for name in files])
        self._digest = (
            None if state is None else hashlib.sha256(f"{sorted(files.items())}\n{state}".encode()).hexdigest()
        )
        place = str(directory.resolve()).encode("utf-8", "surrogateescape")
        self._name = hashlib.sha256(place).hexdigest()

    def is_known(self) -> bool:
        """Whether the files were hashed in this state, and were right."""
        try:
            kept = None if self._digest is None else read_private(_directory() / self._name)
        except RuntimeError:  # no home directory
            return False
        return kept is not None and kept == (self._digest or "").encode()

    def remember(self) -> None:
        """To be called when the files were right."""
        if self._digest is None:
            return
        with suppress(OSError, RuntimeError):
            write_private(_directory() / self._name, self._digest.encode())


def _directory() -> Path:
    return cache_directory() / "verified"
