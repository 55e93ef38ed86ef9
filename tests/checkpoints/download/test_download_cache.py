"""The download cache: whole files only, and none that is not what was recorded."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import pytest

from honed.checkpoints.download import cache
from honed.checkpoints.download.cache import Digest
from honed.errors import MachineError, SourceError

DATA = bytes(range(256)) * 9000
DIGEST = Digest(len(DATA), hashlib.sha256(DATA).hexdigest())


def test_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_directory() == tmp_path / "honed"
    monkeypatch.setenv("HOME", str(tmp_path))
    for ignored in ("", "relative/path"):  # the XDG specification has relative paths ignored
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert cache.cache_directory() == tmp_path / ".cache" / "honed"


def test_no_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", fail)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with pytest.raises(
        cache.NoCacheError, match="there is no home directory to keep a cache in; set XDG_CACHE_HOME or HOME"
    ):
        cache.cache_directory()


def test_a_record_that_is_damaged_is_made_again_where_the_digest_is_known(tmp_path: Path) -> None:
    path = cache.store(tmp_path / "m.gguf", io.BytesIO(DATA), len(DATA), DIGEST)
    record = tmp_path / "m.gguf.sha256.json"
    whole = record.read_bytes()
    for damaged in (b"", b"{", b"[" * 5000, b'{"size": 1e999, "sha256": 1}', b"x" * 10_000):
        record.write_bytes(damaged)
        assert cache.find(path, DIGEST) == path
        assert record.read_bytes() == whole
    record.unlink()
    assert cache.find(path, DIGEST) == path
    record.write_bytes(b"{")
    path.write_bytes(DATA[:-1] + b"x")
    assert cache.find(path, DIGEST) is None


@pytest.mark.timeout(20)
def test_a_record_that_is_no_file(tmp_path: Path) -> None:
    path = cache.store(tmp_path / "m.gguf", io.BytesIO(DATA), len(DATA), None)
    (tmp_path / "m.gguf.sha256.json").unlink()
    os.mkfifo(tmp_path / "m.gguf.sha256.json")
    assert cache.find(path, None) is None


def test_stored_and_found(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "m.gguf"
    assert cache.find(path, None) is None
    assert cache.store(path, io.BytesIO(DATA), len(DATA), DIGEST) == path
    assert path.read_bytes() == DATA
    assert cache.find(path, None) == path
    assert cache.find(path, DIGEST) == path
    assert cache.find(path, Digest(len(DATA), "0" * 64)) is None
    assert sorted(child.name for child in path.parent.iterdir()) == ["m.gguf", "m.gguf.sha256.json"]


def test_file_cut_short_is_not_found(tmp_path: Path) -> None:
    path = cache.store(tmp_path / "m.gguf", io.BytesIO(DATA), len(DATA), None)
    os.truncate(path, 100)
    assert cache.find(path, None) is None


@pytest.mark.parametrize("record", ["", "{", "[]", "{}", '{"size": 2304000}', "\xff"])
def test_damaged_record_is_not_trusted(tmp_path: Path, record: str) -> None:
    path = cache.store(tmp_path / "m.gguf", io.BytesIO(DATA), len(DATA), None)
    (tmp_path / "m.gguf.sha256.json").write_bytes(record.encode("latin-1"))
    assert cache.find(path, None) is None


@pytest.mark.parametrize(
    ("size", "digest", "message"),
    [
        (len(DATA) + 1, None, "only 2304000 bytes, not 2304001"),
        (len(DATA) - 1, None, "over 2303999 bytes, not 2303999"),
        (len(DATA), Digest(len(DATA), "0" * 64), "SHA-256 is .*, recorded is 0000"),
        (1 << 62, None, f"{1 << 62} bytes are needed, .* are free"),
    ],
)
def test_nothing_is_left_of_a_wrong_file(tmp_path: Path, size: int, digest: Digest | None, message: str) -> None:
    old = cache.store(tmp_path / "m.gguf", io.BytesIO(b"old"), 3, None)
    with pytest.raises(MachineError if size == 1 << 62 else SourceError, match=message):
        cache.store(tmp_path / "m.gguf", io.BytesIO(DATA), size, digest)
    assert old.read_bytes() == b"old"
    assert cache.find(old, None) == old
    assert sorted(child.name for child in tmp_path.iterdir()) == ["m.gguf", "m.gguf.sha256.json"]


class _Interrupted(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > 1 << 20:
            raise KeyboardInterrupt
        return super().read(size)


def test_nothing_is_left_of_an_interrupted_copy(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        cache.store(tmp_path / "m.gguf", _Interrupted(DATA), len(DATA), None)
    assert list(tmp_path.iterdir()) == []


def test_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match="the cache cannot be written: Not a directory"):
        cache.store(tmp_path / "file" / "deep" / "m.gguf", io.BytesIO(DATA), len(DATA), None)
