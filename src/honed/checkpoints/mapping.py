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
