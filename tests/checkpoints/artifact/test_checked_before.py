"""What is known of an artifact's files from an earlier start, and that no changed file passes for a known one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from divisible_models import save_llama
from honed.api.compress import compress
from honed.checkpoints import file_state
from honed.checkpoints.artifact import checked_before
from honed.checkpoints.artifact import checkpoint as module
from honed.checkpoints.artifact.checkpoint import Artifact
from honed.checkpoints.artifact.manifest import FileRecord
from honed.errors import ArtifactError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = save_llama(tmp_path_factory.mktemp("verified") / "source")
    compress(source, "int8", out=source.parent / "int8", threads=1)
    return source.parent / "int8"


@pytest.fixture
def artifact(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are hashed; all count as large, and as changed long enough ago."""
    names: list[str] = []
    check = module._check_hash

    def counted(path: Path, record: FileRecord) -> None:
        names.append(path.name)
        check(path, record)

    monkeypatch.setattr(module, "_check_hash", counted)
    monkeypatch.setattr(module, "_SMALL", 0)
    monkeypatch.setattr(file_state, "SETTLED_S", -1.0)
    monkeypatch.setattr(checked_before, "cache_directory", lambda: tmp_path / "cache")
    return names


def start(path: Path) -> None:
    Artifact(path).verify()


def test_a_second_start_hashes_nothing(artifact: Path, hashed: list[str]) -> None:
    start(artifact)
    assert "model.safetensors" in hashed
    hashed.clear()
    start(artifact)
    assert not hashed


def test_an_artifact_that_was_not_verified_is_not_known(artifact: Path, hashed: list[str]) -> None:
    Artifact(artifact)
    hashed.clear()
    start(artifact)
    assert "model.safetensors" in hashed


def test_a_change_is_found_although_size_and_time_are_the_same(artifact: Path, hashed: list[str]) -> None:
    start(artifact)
    path = artifact / "model.safetensors"
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    for _ in range(2):  # damage is never remembered as right
        with pytest.raises(ArtifactError, match=r"model\.safetensors: SHA-256"):
            start(artifact)


def test_another_manifest_and_another_place_are_not_known(artifact: Path, tmp_path: Path, hashed: list[str]) -> None:
    start(artifact)
    hashed.clear()
    artifact.rename(tmp_path / "moved")
    start(tmp_path / "moved")
    assert "model.safetensors" in hashed
    files = {"model.safetensors": FileRecord(1, "aa")}
    checked_before.VerifiedState(tmp_path / "moved", files).remember()
    assert checked_before.VerifiedState(tmp_path / "moved", files).is_known()
    assert not checked_before.VerifiedState(tmp_path / "moved", {"model.safetensors": FileRecord(1, "bb")}).is_known()


def test_files_changed_just_now_are_hashed_again(
    artifact: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_state, "SETTLED_S", 3600.0)
    for _ in range(2):
        hashed.clear()
        start(artifact)
        assert "model.safetensors" in hashed


def test_where_nothing_can_be_kept_they_are_hashed_at_every_start(
    artifact: Path, tmp_path: Path, hashed: list[str]
) -> None:
    (tmp_path / "cache").write_text("a file where the directory should be")
    for _ in range(2):
        hashed.clear()
        start(artifact)
        assert "model.safetensors" in hashed
