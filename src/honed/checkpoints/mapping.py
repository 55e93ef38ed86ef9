"""Files mapped into memory, read-only: pages are read when they are touched and can be given back by the system.

A page that is not there any more, because the file was cut short or its disk is gone, would end the process without a
word. So the native extension knows every map by the name of its file, and says it before it ends the process
(`native/bindings/mapped.cpp`).
"""

from __future__ import annotations

import mmap
import os
import weakref
from pathlib import Path

from honed.errors import FormatError, NativeError, SourceError, plain
from honed.regular_files import open_descriptor


def map_file(path: Path) -> memoryview:
    """The bytes of a file. The map lives as long as an array made from it does.

    Errors: SourceError if it is no regular file or cannot be opened, FormatError if it is empty.
    """
    descriptor = open_descriptor(path)
    try:
        return map_descriptor(descriptor, path)
    finally:
        os.close(descriptor)


def map_descriptor(descriptor: int, path: Path) -> memoryview:
    """The bytes of an open file. Errors: FormatError if it is empty, SourceError if it cannot be mapped."""
    try:
        mapped = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    except ValueError:
        raise FormatError(path, "size", "the file is empty") from None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from None
    watch(mapped, path)
    return memoryview(mapped)


def watch(mapped: mmap.mmap, path: Path) -> None:
    """Has a fault in a map reported with the name of its file, as long as the map lives; needs the extension."""
    try:
        from honed.native import extension
    except NativeError:  # it is missing; who needs it says so
        return
    number = extension.watch_map(memoryview(mapped), plain(str(path)))
    if number >= 0:
        weakref.finalize(mapped, extension.unwatch_map, number).atexit = False


def give_back(mapped: memoryview) -> None:
    """Takes the pages that were touched so far out of this process, where they count as its memory.

    `mapped`: what `map_file` gave; other bytes are left alone. Everything made from the map stays as it is: a page that
    is touched again, now by another thread or later, comes back from the system's cache of the file. That is cheap
    enough to give back the whole file at once, and no page has to be told from its neighbours.
    """
    if isinstance(mapped.obj, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.obj.madvise(mmap.MADV_DONTNEED)
