"""Packed weights kept between starts: the same bits as without, never those of another state of the files."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from honed.api.compress import compress
from honed.backends import packed_cache as module
from honed.backends.native import NativeBackend
from honed.backends.native_config import NativeConfig
from honed.backends.packed_cache import PackedCache
from honed.backends.packing import Packer
from honed.checkpoints import file_state
from honed.checkpoints.base import Checkpoint
from honed.checkpoints.open import open_checkpoint
from honed.errors import ArtifactError
from honed.plan.formats import DensePolicy
from tiny_models import whole

Logits = NDArray[np.float32]
KEY = bytes(range(32))
TOKENS = np.arange(12, dtype=np.int32)


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, where files written a moment ago count as settled."""
    monkeypatch.setattr(module, "cache_directory", lambda: tmp_path / "cache")
    monkeypatch.setattr(file_state, "SETTLED_S", 0.0)
    return tmp_path / "cache" / "packed"


@pytest.fixture
def packings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each time that weights are packed."""
    seen: list[int] = []
    original = Packer.pack_all

    def pack_all(*given: object) -> object:
        seen.append(1)
        return original(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(Packer, "pack_all", pack_all)
    return seen


@pytest.fixture(params=["directory", "int8", "int4"])
def model(request: pytest.FixtureRequest, tiny_llama: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model, or an artifact of it."""
    path = tmp_path / "model"
    if request.param == "directory":
        return Path(shutil.copytree(tiny_llama, path))
    compress(tiny_llama, request.param, out=path, threads=1)
    return path


def logits(path: Path, *, dtype: DensePolicy = "auto", keep: bool = True) -> Logits:
    config = NativeConfig(dtype=dtype, threads=1, kv_tokens=256, step_tokens=64, keep_packed=keep)
    return NativeBackend.load(open_checkpoint(str(path)), config).forward(whole(TOKENS))


def the_file(directory: Path) -> Path:
    (found,) = directory.glob("*.packed")
    return found


def test_a_second_start_maps_what_the_first_packed(model: Path, directory: Path, packings: list[int]) -> None:
    expected = logits(model, keep=False)
    assert not directory.exists()
    np.testing.assert_array_equal(logits(model), expected)
    np.testing.assert_array_equal(logits(model), expected)
    assert len(packings) == 2
    assert the_file(directory).suffix == ".packed"


def test_another_dense_type_is_another_plan(model: Path, directory: Path, packings: list[int]) -> None:
    for dtype in ("float32", "bfloat16", "float32", "bfloat16"):
        logits(model, dtype=dtype)
    assert len(packings) == 2
    assert len(list(directory.glob("*.packed"))) == 2


@pytest.mark.parametrize("name", ["_FORMAT", "__version__"])
def test_another_version_packs_again(
    name: str, tiny_llama: Path, directory: Path, packings: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    logits(tiny_llama)
    monkeypatch.setattr(module, name, 99)
    logits(tiny_llama)
    assert len(packings) == 2


def test_what_runs_meanwhile_is_begun_once(tiny_llama: Path, directory: Path, packings: list[int]) -> None:
    begun: list[int] = []

    def load() -> None:
        NativeBackend.load(open_checkpoint(str(tiny_llama)), NativeConfig(kv_tokens=64), lambda: begun.append(1))

    load()  # packs
    assert (len(begun), len(packings)) == (1, 1)
    load()  # maps
    assert (len(begun), len(packings)) == (2, 1)
    path = the_file(directory)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    load()  # maps, finds the damage and packs
    assert (len(begun), len(packings)) == (3, 2)


def test_changed_weights_are_never_served_stale(
    tiny_llama: Path, tmp_path: Path, directory: Path, packings: list[int]
) -> None:
    path = Path(shutil.copytree(tiny_llama, tmp_path / "changing"))
    weights = path / "model.safetensors"
    before = logits(path)
    found = weights.stat()
    data = bytearray(weights.read_bytes())
    data[-2] ^= 0x01  # an exponent bit of the last float
    weights.write_bytes(bytes(data))
    os.utime(weights, ns=(found.st_atime_ns, found.st_mtime_ns))  # as a tool that keeps times would
    after = logits(path)
    assert len(packings) == 2
    assert not np.array_equal(before, after)
    np.testing.assert_array_equal(after, logits(path, keep=False))


def test_files_changed_a_moment_ago_are_not_kept(
    tiny_llama: Path, tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_state, "SETTLED_S", 3600.0)
    logits(Path(shutil.copytree(tiny_llama, tmp_path / "fresh")))
    assert not directory.exists()


def test_an_artifact_that_was_changed_leaves_nothing_behind(
    tiny_llama: Path, tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "artifact"
    compress(tiny_llama, "int8", out=path, threads=1)
    monkeypatch.setattr("honed.checkpoints.artifact.checkpoint._SMALL", 100)  # large: hashed while it is packed
    weights = path / "model.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(ArtifactError, match=r"model\.safetensors: SHA-256"):
        logits(path)
    assert not directory.exists()
    weights.write_bytes(good)
    np.testing.assert_array_equal(logits(path), logits(path, keep=False))


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def with_right_crc(data: bytes) -> bytes:
    return data[:80] + struct.pack("<I", zlib.crc32(data[88:])) + data[84:]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "header only": lambda data: data[:40],
    "truncated": lambda data: data[:-1],
    "longer": lambda data: data + b"\0",
    "last byte": flipped,
    "magic": lambda data: b"X" + data[1:],
    "key": lambda data: data[:9] + bytes([data[9] ^ 1]) + data[10:],
    "digest": lambda data: data[:48] + bytes([data[48] ^ 1]) + data[49:],
    "count": lambda data: data[:84] + b"\xff\xff\xff\xff" + data[88:],
    "fewer": lambda data: data[:84] + b"\x01\0\0\0" + data[88:],
    "offset": lambda data: data[:88] + b"\xff" * 8 + data[96:],
    "unaligned": lambda data: data[:88] + bytes([data[88] ^ 1]) + data[89:],
    "size": lambda data: data[:96] + b"\xff" * 8 + data[104:],
    "smaller": lambda data: data[:128] + bytes(8) + data[136:],
    "a right CRC": lambda data: with_right_crc(flipped(data)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_made_again(damage: str, tiny_llama: Path, directory: Path, packings: list[int]) -> None:
    expected = logits(tiny_llama)
    good = the_file(directory).read_bytes()
    logits(tiny_llama)  # by now it is known to be right
    the_file(directory).write_bytes(DAMAGE[damage](good))
    np.testing.assert_array_equal(logits(tiny_llama), expected)
    assert len(packings) == 2
    assert the_file(directory).read_bytes() == good


def test_writers_at_the_same_time(tiny_llama: Path, directory: Path) -> None:
    expected = logits(tiny_llama, keep=False)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: logits(tiny_llama), range(8)):
            np.testing.assert_array_equal(found, expected)
    the_file(directory)


def test_a_disk_that_takes_a_little_at_a_time(
    tiny_llama: Path, directory: Path, packings: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.pwritev
    monkeypatch.setattr(module, "_BUFFERS_OF_WRITE", 7)
    monkeypatch.setattr(os, "pwritev", lambda fd, buffers, offset: write(fd, [buffers[0][:1001]], offset))
    np.testing.assert_array_equal(logits(tiny_llama), logits(tiny_llama))
    assert len(packings) == 1
    pieces = the_file(directory).read_bytes()
    the_file(directory).unlink()
    monkeypatch.undo()
    monkeypatch.setattr(module, "cache_directory", lambda: directory.parent)
    monkeypatch.setattr(file_state, "SETTLED_S", 0.0)
    logits(tiny_llama)
    assert the_file(directory).read_bytes() == pieces


def test_a_directory_that_cannot_be_made(tiny_llama: Path, directory: Path, packings: list[int]) -> None:
    directory.parent.write_text("a file where the cache should be")
    np.testing.assert_array_equal(logits(tiny_llama), logits(tiny_llama))
    assert len(packings) == 2


@pytest.mark.parametrize("call", ["os.pwritev", "tempfile.mkstemp", "pathlib.Path.replace"])
def test_a_full_or_read_only_disk(
    call: str, tiny_llama: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(call, refuse)
    np.testing.assert_array_equal(logits(tiny_llama), logits(tiny_llama))
    assert not list(directory.glob("*.packed"))
    assert not list(directory.glob(".partial-*"))


def test_a_checkpoint_without_files_has_no_place(directory: Path) -> None:
    class Nowhere:
        kind = "huggingface"
        config = None
        files = (Path("/nowhere/model.safetensors"),)

    checkpoint: Checkpoint = Nowhere()  # type: ignore[assignment]
    assert module.packed_cache(checkpoint, (), "auto") is None


def test_the_least_recently_used_go_first(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 3000)
    caches = [PackedCache(directory, bytes([number]) * 32) for number in range(4)]
    for age, cache in enumerate(caches[:3]):
        cache.store([np.full(700, age, np.uint8).data])
        os.utime(directory / f"{cache.key.hex()[:40]}.packed", (1000 + age, 1000 + age))
    used = caches[0].open()  # now
    assert used is not None
    assert used.is_intact()
    caches[3].store([np.full(1200, 3, np.uint8).data])
    assert [cache.open() is not None for cache in caches] == [True, False, True, True]
    PackedCache(directory, KEY).store([np.zeros(4000, np.uint8).data])
    assert PackedCache(directory, KEY).open() is None
    assert [cache.open() is not None for cache in caches] == [True, False, True, True]


def opened(cache: PackedCache) -> bool:
    found = cache.open()
    return found is not None and found.is_intact()


@pytest.fixture
def kept(directory: Path) -> PackedCache:
    """One file, which was found to be right at a start before."""
    cache = PackedCache(directory, KEY)
    cache.store([np.arange(200, dtype=np.uint8).data])
    assert opened(cache)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in directory.iterdir())
    assert {path.suffix or path.name for path in directory.iterdir()} == {".packed", ".seen", ".key"}
    return cache


def test_what_is_known_to_be_right_is_hashed_no_more_and_still_checked(
    kept: PackedCache, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[int] = []
    sha256 = hashlib.sha256

    def counted(data: bytes) -> object:
        hashed.append(1)
        return sha256(data)

    monkeypatch.setattr(hashlib, "sha256", counted)
    assert opened(kept)
    assert not hashed
    # A disk that gives other bytes without a change that the system knows of.
    monkeypatch.setattr(zlib, "crc32", lambda *_: 1)
    assert not opened(kept)


def test_what_was_written_a_moment_ago_is_not_known(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_state, "SETTLED_S", 3600.0)
    cache = PackedCache(directory, KEY)
    cache.store([np.zeros(9, np.uint8).data])
    assert opened(cache)
    assert not list(directory.glob("*.seen"))


@pytest.mark.parametrize("forged", ["contents", "contents and digest", "seen", "seen of another"])
def test_what_another_could_forge_is_not_used(kept: PackedCache, directory: Path, forged: str) -> None:
    """Without the key nobody makes a digest that is right, of the contents or of what was seen."""
    path = the_file(directory)
    good = path.read_bytes()
    if forged != "seen of another":
        path.write_bytes(with_right_crc(flipped(good)))
    if forged == "contents and digest":
        (directory / ".key").unlink()
        other = PackedCache(directory.parent / "other", KEY)
        other.store([memoryview(bytes(200))])
        path.write_bytes(the_file(directory.parent / "other").read_bytes())
    elif forged == "seen":
        data = path.read_bytes()
        found = path.stat()
        state = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        guess = hashlib.blake2b(KEY + data[48:80] + repr(state).encode(), digest_size=32, person=b"state").digest()
        path.with_suffix(".seen").write_bytes(guess)
    elif forged == "seen of another":
        other = PackedCache(directory, bytes(32))
        other.store([np.zeros(200, np.uint8).data])
        assert opened(other)
        data = with_right_crc(flipped(good))
        path.write_bytes(data)
        shutil.copy(directory / f"{bytes(32).hex()[:40]}.seen", path.with_suffix(".seen"))
    assert not opened(kept)


@pytest.mark.parametrize("kind", ["group", "others", "owner", "link", "fifo", "directory"])
def test_what_others_could_have_written_is_not_used(
    kept: PackedCache, directory: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = the_file(directory)
    if kind == "link":
        path.rename(directory.parent / "elsewhere")
        path.symlink_to(directory.parent / "elsewhere")
    elif kind in ("fifo", "directory"):
        path.unlink()
        os.mkfifo(path) if kind == "fifo" else path.mkdir()
    elif kind == "owner":
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
        if os.getuid() == 0:  # root is believed by all
            os.chown(path, 54321, -1)
    else:
        path.chmod(0o620 if kind == "group" else 0o602)
    assert not opened(kept)


@pytest.mark.parametrize("mode", [0o770, 0o777])
def test_a_directory_that_others_can_write_in_is_not_believed_and_then_taken_back(
    kept: PackedCache, directory: Path, mode: int
) -> None:
    directory.chmod(mode)
    assert not opened(kept)
    kept.store([np.arange(200, dtype=np.uint8).data])
    assert directory.stat().st_mode & 0o777 == 0o700
    assert opened(kept)


def test_what_a_killed_process_left_is_removed(directory: Path) -> None:
    directory.mkdir(parents=True)
    old, fresh = directory / ".partial-old", directory / ".partial-fresh"
    alone = directory / "abc.seen"
    for path in (old, fresh, alone):
        path.write_bytes(b"half")
    os.utime(old, (1000, 1000))
    PackedCache(directory, KEY).store([np.zeros(3, np.uint8).data])
    assert not old.exists()
    assert not alone.exists()
    assert fresh.exists()
