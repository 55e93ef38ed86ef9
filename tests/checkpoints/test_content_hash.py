from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from honed.checkpoints.content_hash import file_sha256, fingerprint


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.mkdir()
    (path / "model.safetensors").write_bytes(b"weights")
    (path / "config.json").write_text("{}")
    (path / "chat_template.jinja").write_text("{{ x }}")
    return path


def of(path: Path) -> str:
    return fingerprint(path, [path / "model.safetensors"])


def test_digest_of_a_file_longer_than_one_piece(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "f").write_bytes(data)
    assert file_sha256(tmp_path / "f") == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "chat_template.jinja"])
def test_any_changed_file_changes_it(directory: Path, name: str) -> None:
    before = of(directory)
    (directory / name).write_bytes((directory / name).read_bytes() + b" ")
    assert of(directory) != before


def test_a_new_file_that_loaders_read_changes_it_but_results_and_notes_do_not(directory: Path) -> None:
    before = of(directory)
    (directory / "certificate.json").write_text("{}")
    (directory / "README.md").write_text("notes")
    assert of(directory) == before
    (directory / "tokenizer.json").write_text("{}")
    assert of(directory) != before


def test_moving_the_model_changes_nothing(directory: Path, tmp_path: Path) -> None:
    before = of(directory)
    assert of(directory.rename(tmp_path / "elsewhere")) == before


def test_a_linked_blob_counts_under_its_name_here(directory: Path, tmp_path: Path) -> None:
    before = of(directory)
    blob = (directory / "model.safetensors").rename(tmp_path / "0123abcd")
    (directory / "model.safetensors").symlink_to(blob)
    assert of(directory) == before


@pytest.mark.timeout(20)
def test_pipes_are_left_out_and_never_waited_for(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    before = fingerprint(tmp_path, [])
    os.mkfifo(tmp_path / "extra.json")
    assert fingerprint(tmp_path, []) == before
    with pytest.raises(OSError, match="is no regular file"):
        file_sha256(tmp_path / "extra.json")
