from __future__ import annotations

import os
from pathlib import Path

import pytest

from honed.bench.peers import conversion
from honed.bench.peers.conversion import checkpoint_fingerprint, converted
from honed.checkpoints.content_hash import fingerprint
from honed.checkpoints.open import open_checkpoint


def write(directory: Path) -> None:
    (directory / "made").write_text("once")


def test_made_once_for_each_form(tiny_llama: Path, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(tiny_llama))
    first = converted(checkpoint, "a-1", write, needed=0, cache=tmp_path)
    (first / "made").write_text("kept")
    assert converted(checkpoint, "a-1", write, needed=0, cache=tmp_path) == first
    assert (first / "made").read_text() == "kept"
    assert converted(checkpoint, "a-2", write, needed=0, cache=tmp_path) != first


def test_failed_conversion_leaves_nothing(tiny_llama: Path, tmp_path: Path) -> None:
    def fail(directory: Path) -> None:
        write(directory)
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError):
        converted(open_checkpoint(str(tiny_llama)), "a", fail, needed=0, cache=tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_fingerprint_is_that_of_the_files_and_read_once(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in tiny_llama.iterdir():  # settled: changed long ago
        os.utime(file, (1e9, 1e9))
    checkpoint = open_checkpoint(str(tiny_llama))
    monkeypatch.setattr("honed.checkpoints.file_state.SETTLED_S", -1.0)
    monkeypatch.setattr(conversion, "_fingerprints", {})
    expected = fingerprint(checkpoint.path, checkpoint.files)
    assert checkpoint_fingerprint(checkpoint) == expected
    monkeypatch.setattr("honed.checkpoints.content_hash.fingerprint", lambda *_: pytest.fail("read again"))
    assert checkpoint_fingerprint(checkpoint) == expected
