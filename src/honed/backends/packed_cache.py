"""Packed weights kept on disk, so that a second start maps them instead of packing again.

One file a plan under $XDG_CACHE_HOME/honed/packed, named by a digest of all that its bytes depend on: the files of the
checkpoint, the plan's weights, the dense policy, the layout and the version of the package. It appears under its name
only when it is whole. Sizes are checked when it is opened; the CRC-32 of its contents on a thread, while the caller
goes on. A file that is not as it was written is removed and made again. Where the directory cannot be written, or is
full, nothing is kept and nothing is said.

Weights are read once a token, and from a map of 4 KiB pages a third slower than from huge ones. So the file is written
in few large writes and mapped with MADV_HUGEPAGE: a file system with large folios (ext4 and btrfs in new kernels, XFS
in older ones) then keeps it in huge pages, whether it was just written or is read from the disk. Elsewhere nothing
changes.

File: header (`_HEADER`), offset and size of each array (uint64 pairs), the arrays, each at a multiple of 64 bytes.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import time
import zlib
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from threading import Thread

from honed import __version__
from honed.checkpoints.base import Checkpoint
from honed.checkpoints.download.cache import cache_directory
from honed.checkpoints.identity import identity
from honed.native import extension
from honed.plan import lowered as low

MAX_BYTES = 4 << 30
"""Of all files together; the least recently used ones go first, and a larger one is not kept."""

_FORMAT = 2
_MAGIC = b"HONEDPKD"
_HEADER = struct.Struct("<8s32sQII")  # magic, key, size of the file, CRC-32 of all behind the header, number of arrays
_INDEX_ENTRY = 16
_ALIGNMENT = 64
_FREE_BYTES = 1 << 28  # left on the disk for others
_ABANDONED_S = 24 * 3600.0
_BUFFERS_OF_WRITE = 1024  # what Linux takes (IOV_MAX)


class PackedFile:
    """The arrays of an open file, borrowed from its map. Use no result that depends on them before `is_intact`."""

    def __init__(self, mapped: mmap.mmap, arrays: Sequence[memoryview], checksum: int) -> None:
        self.arrays = arrays
        self._mapped = mapped
        self._expected = checksum
        self._found: int | None = None
        self._thread = Thread(target=self._check, name="check packed weights", daemon=True)
        self._thread.start()

    def is_intact(self) -> bool:
        """Waits for the checksum."""
        self._thread.join()
        return self._found == self._expected

    def _check(self) -> None:
        self._found = zlib.crc32(memoryview(self._mapped)[_HEADER.size :])


class PackedCache:
    """The place of the packed weights of one plan."""

    def __init__(self, directory: Path, key: bytes) -> None:
        """`key`: 32 bytes that no other contents have."""
        self._directory = directory
        self.key = key
        self._path = directory / f"{key.hex()[:40]}.packed"

    def open(self) -> PackedFile | None:
        """The file if there is one and its header and sizes are right."""
        try:
            with self._path.open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):
            return None
        if hasattr(mmap, "MADV_HUGEPAGE"):
            with suppress(OSError):  # a kernel without huge pages
                mapped.madvise(mmap.MADV_HUGEPAGE)
        with suppress(OSError):
            os.utime(self._path)
        found = self._read(mapped)
        if found is None:
            self.remove()
        return found

    def _read(self, mapped: mmap.mmap) -> PackedFile | None:
        size = len(mapped)
        if size < _HEADER.size:
            return None
        magic, key, stated, checksum, count = _HEADER.unpack_from(mapped)
        begin = _HEADER.size + count * _INDEX_ENTRY
        if (magic, key, stated) != (_MAGIC, self.key, size) or begin > size:
            return None
        index = struct.unpack_from(f"<{2 * count}Q", mapped, _HEADER.size)
        whole = memoryview(mapped)
        arrays: list[memoryview] = []
        for offset, nbytes in zip(index[::2], index[1::2], strict=True):
            if offset % _ALIGNMENT or offset < begin or offset + nbytes > size:
                return None
            arrays.append(whole[offset : offset + nbytes])
        return PackedFile(mapped, arrays, checksum)

    def remove(self) -> None:
        with suppress(OSError):
            self._path.unlink()

    def store(self, arrays: Iterable[memoryview]) -> None:
        """Keeps the arrays if there is room for them; if not, or if they cannot be written, does nothing."""
        import tempfile

        kept = list(arrays)
        size = _layout([len(array) for array in kept])[1]
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            if not _make_room(self._directory, size):
                return
            descriptor, name = tempfile.mkstemp(prefix=".partial-", dir=self._directory)
        except OSError:
            return
        partial = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                _write(file.fileno(), self.key, kept)
            partial.replace(self._path)
        except OSError:
            partial.unlink(missing_ok=True)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def packed_cache(checkpoint: Checkpoint, specs: Sequence[low.PlanWeight], policy: str) -> PackedCache | None:
    """The place for the packed weights of a plan; None where the files of the checkpoint cannot be told from others."""
    files = identity(checkpoint)
    if files is None:
        return None
    depends = (_FORMAT, __version__, extension.LAYOUT_VERSION, files, policy, tuple(specs))
    try:
        directory = cache_directory() / "packed"
    except RuntimeError:  # no home directory
        return None
    return PackedCache(directory, hashlib.sha256(repr(depends).encode("utf-8", "surrogatepass")).digest())


def _layout(sizes: Sequence[int]) -> tuple[list[int], int]:
    """Offset of each array, and the size of the file."""
    offsets = []
    end = _HEADER.size + len(sizes) * _INDEX_ENTRY
    for size in sizes:
        begin = -(-end // _ALIGNMENT) * _ALIGNMENT
        offsets.append(begin)
        end = begin + size
    return offsets, end


def _write(descriptor: int, key: bytes, arrays: Sequence[memoryview]) -> None:
    sizes = [len(array) for array in arrays]
    offsets, size = _layout(sizes)
    index = struct.pack(f"<{2 * len(arrays)}Q", *chain.from_iterable(zip(offsets, sizes, strict=True)))
    buffers: list[bytes | memoryview] = [index]
    end = _HEADER.size + len(index)
    for offset, array in zip(offsets, arrays, strict=True):
        buffers += [bytes(offset - end), array]
        end = offset + len(array)
    checksum = 0
    for buffer in buffers:
        checksum = zlib.crc32(buffer, checksum)
    _put(descriptor, [_HEADER.pack(_MAGIC, key, size, checksum, len(arrays)), *buffers])


def _put(descriptor: int, buffers: Sequence[bytes | memoryview]) -> None:
    """Writes all of the buffers, one behind the other, with as few calls as there can be."""
    left = deque(memoryview(buffer) for buffer in buffers if len(buffer))
    offset = 0
    while left:
        written = os.pwritev(descriptor, list(islice(left, _BUFFERS_OF_WRITE)), offset)
        offset += written
        while left and written >= len(left[0]):
            written -= len(left.popleft())
        if written:
            left[0] = left[0][written:]


def _make_room(directory: Path, size: int) -> bool:
    """Removes what was used least recently until `size` more bytes fit the limit. False if they cannot."""
    import shutil

    if size > MAX_BYTES or shutil.disk_usage(directory).free < size + _FREE_BYTES:
        return False
    used: list[tuple[float, int, Path]] = []
    for path in directory.iterdir():
        with suppress(OSError):
            found = path.stat()
            if path.name.startswith(".partial-") and time.time() - found.st_mtime > _ABANDONED_S:
                path.unlink()
            elif path.suffix == ".packed":
                used.append((found.st_mtime, found.st_size, path))
    total = size + sum(nbytes for _, nbytes, _ in used)
    for _, nbytes, path in sorted(used, key=lambda entry: entry[0]):
        if total <= MAX_BYTES:
            break
        with suppress(OSError):
            path.unlink()
        total -= nbytes
    return True
