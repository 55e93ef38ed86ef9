"""Packed weights kept on disk, so that a second start maps them instead of packing again.

One file a plan under $XDG_CACHE_HOME/honed/packed, named by a digest of all that its bytes depend on: the files of the
checkpoint, the plan's weights, the dense policy, the layout and the version of the package. It appears under its name
only when it is whole. Where the directory cannot be written, or is full, nothing is kept and nothing is said.

It is used only if nobody but this user can have written it (`checkpoints/private_files.py`), and if its contents are
what was kept. Sizes are checked when it is opened, the contents on a thread, while the caller goes on: by a keyed
digest (BLAKE2 with the key in `.key`, over the SHA-256 of all bytes), or, of a file that had the right one at an
earlier start and has not changed since by inode, size and times, by its CRC-32, which finds a disk that gives other
bytes in half the time. A file that is not as it was written is removed and made again.

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
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from threading import Thread

from honed.checkpoints import file_state
from honed.checkpoints.base import Checkpoint
from honed.checkpoints.download.cache import cache_directory
from honed.checkpoints.file_state import identity
from honed.checkpoints.mapping import watch
from honed.checkpoints.private_files import open_private, private_directory, read_private, write_private
from honed.native import extension
from honed.plan import lowered as low
from honed.version import __version__

MAX_BYTES = 4 << 30
"""Of all files together; the least recently used ones go first, and a larger one is not kept."""

_FORMAT = 3
_MAGIC = b"HONEDPK3"
_HEADER = struct.Struct("<8s32sQ32sII")  # magic, key, size of the file, keyed digest, CRC-32, number of arrays
_INDEX_ENTRY = 16
_ALIGNMENT = 64
_FREE_BYTES = 1 << 28  # left on the disk for others
_ABANDONED_S = 24 * 3600.0
_SECRET = ".key"
_SECRET_BYTES = 32
_BUFFERS_OF_WRITE = 1024  # what Linux takes (IOV_MAX)


class PackedFile:
    """The arrays of an open file, borrowed from its map. Use no result that depends on them before `is_intact`."""

    def __init__(self, mapped: mmap.mmap, arrays: Sequence[memoryview], is_right: Callable[[memoryview], bool]) -> None:
        """`is_right`: whether all bytes behind the header are what they must be."""
        self.arrays = arrays
        self._mapped = mapped
        self._is_right = is_right
        self._found = False
        self._thread = Thread(target=self._check, name="check packed weights", daemon=True)
        self._thread.start()

    def is_intact(self) -> bool:
        """Waits for the check."""
        self._thread.join()
        return self._found

    def _check(self) -> None:
        self._found = self._is_right(memoryview(self._mapped)[_HEADER.size :])


class PackedCache:
    """The place of the packed weights of one plan."""

    def __init__(self, directory: Path, key: bytes) -> None:
        """`key`: 32 bytes that no other contents have."""
        self._directory = directory
        self.key = key
        self._path = directory / f"{key.hex()[:40]}.packed"
        self._seen = self._path.with_suffix(".seen")

    def open(self) -> PackedFile | None:
        """The file if there is one that can be believed and its header and sizes are right."""
        secret = _secret(self._directory)
        handle = None if secret is None else open_private(self._path)
        if secret is None or handle is None:
            return None
        try:
            found = os.fstat(handle)
            mapped = mmap.mmap(handle, 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):
            return None
        finally:
            os.close(handle)
        watch(mapped, self._path)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            with suppress(OSError):  # a kernel without huge pages
                mapped.madvise(mmap.MADV_HUGEPAGE)
        opened = self._read(mapped, secret, found)
        if opened is None:
            self.remove()
        return opened

    def _read(self, mapped: mmap.mmap, secret: bytes, found: os.stat_result) -> PackedFile | None:
        size = len(mapped)
        if size < _HEADER.size:
            return None
        magic, key, stated, digest, checksum, count = _HEADER.unpack_from(mapped)
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
        state = _keyed(secret, b"state", self.key + digest + repr(_state(found)).encode())
        if read_private(self._seen) == state:
            with suppress(OSError):  # used now: see `_make_room`. The file itself must keep its times.
                os.utime(self._seen)
            return PackedFile(mapped, arrays, lambda body: bool(zlib.crc32(body) == checksum))

        def is_right(body: memoryview) -> bool:
            right = bool(_keyed(secret, b"contents", key + hashlib.sha256(body).digest()) == digest)
            if right and time.time_ns() - max(found.st_ctime_ns, found.st_mtime_ns) > file_state.SETTLED_S * 1e9:
                with suppress(OSError):
                    write_private(self._seen, state)
            return right

        return PackedFile(mapped, arrays, is_right)

    def remove(self) -> None:
        for path in (self._path, self._seen):
            with suppress(OSError):
                path.unlink()

    def store(self, arrays: Iterable[memoryview]) -> None:
        """Keeps the arrays if there is room for them; if not, or if they cannot be written, does nothing."""
        import tempfile

        kept = list(arrays)
        size = _layout([len(array) for array in kept])[1]
        try:
            if not private_directory(self._directory) or not _make_room(self._directory, size):
                return
            secret = _secret(self._directory) or _new_secret(self._directory)
            descriptor, name = tempfile.mkstemp(prefix=".partial-", dir=self._directory)
        except OSError:
            return
        partial = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                _write(file.fileno(), self.key, kept, secret)
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


def _secret(directory: Path) -> bytes | None:
    """The key of the digests of a directory; None where there is none that can be believed."""
    found = read_private(directory / _SECRET)
    return found if found is not None and len(found) == _SECRET_BYTES else None


def _new_secret(directory: Path) -> bytes:
    made = os.urandom(_SECRET_BYTES)
    write_private(directory / _SECRET, made)
    return _secret(directory) or made  # another process may have made one just now


def _keyed(secret: bytes, what: bytes, data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32, key=secret, person=what).digest()


def _state(found: os.stat_result) -> tuple[int, ...]:
    """Another one after every change; the system sets the last of the times, and no program can set it back."""
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _layout(sizes: Sequence[int]) -> tuple[list[int], int]:
    """Offset of each array, and the size of the file."""
    offsets = []
    end = _HEADER.size + len(sizes) * _INDEX_ENTRY
    for size in sizes:
        begin = -(-end // _ALIGNMENT) * _ALIGNMENT
        offsets.append(begin)
        end = begin + size
    return offsets, end


def _write(descriptor: int, key: bytes, arrays: Sequence[memoryview], secret: bytes) -> None:
    sizes = [len(array) for array in arrays]
    offsets, size = _layout(sizes)
    index = struct.pack(f"<{2 * len(arrays)}Q", *chain.from_iterable(zip(offsets, sizes, strict=True)))
    buffers: list[bytes | memoryview] = [index]
    end = _HEADER.size + len(index)
    for offset, array in zip(offsets, arrays, strict=True):
        buffers += [bytes(offset - end), array]
        end = offset + len(array)
    checksum, body = 0, hashlib.sha256()
    for buffer in buffers:
        checksum = zlib.crc32(buffer, checksum)
        body.update(buffer)
    digest = _keyed(secret, b"contents", key + body.digest())
    _put(descriptor, [_HEADER.pack(_MAGIC, key, size, digest, checksum, len(arrays)), *buffers])


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
            if (path.name.startswith(".partial-") and time.time() - found.st_mtime > _ABANDONED_S) or (
                path.suffix == ".seen" and not path.with_suffix(".packed").exists()
            ):
                path.unlink()
            elif path.suffix == ".packed":
                used.append((_last_used(path, found), found.st_size, path))
    total = size + sum(nbytes for _, nbytes, _ in used)
    for _, nbytes, path in sorted(used, key=lambda entry: entry[0]):
        if total <= MAX_BYTES:
            break
        for old in (path, path.with_suffix(".seen")):
            with suppress(OSError):
                old.unlink()
        total -= nbytes
    return True


def _last_used(path: Path, found: os.stat_result) -> float:
    with suppress(OSError):
        return max(found.st_mtime, path.with_suffix(".seen").stat().st_mtime)
    return found.st_mtime
