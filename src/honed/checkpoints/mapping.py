"""Files mapped into memory, read-only: pages are read when they are touched and can be given back by the system."""

from __future__ import annotations

import mmap
from pathlib import Path

from honed.errors import FormatError, SourceError


def map_file(path: Path) -> memoryview:
    """The bytes of a file. The map lives as long as an array made from it does.

    Errors: SourceError if it cannot be opened, FormatError if it is empty.
    """
    try:
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except ValueError:
        raise FormatError(path, "size", "the file is empty") from None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from None


def give_back(mapped: memoryview) -> None:
    """Takes the pages that were touched so far out of this process, where they count as its memory.

    `mapped`: what `map_file` gave; other bytes are left alone. Everything made from the map stays as it is: a page that
    is touched again, now by another thread or later, comes back from the system's cache of the file. That is cheap
    enough to give back the whole file at once, and no page has to be told from its neighbours.
    """
    if isinstance(mapped.obj, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.obj.madvise(mmap.MADV_DONTNEED)
