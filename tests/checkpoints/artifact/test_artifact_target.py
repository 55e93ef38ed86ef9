"""Outputs that are refused before any work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from honed.checkpoints.artifact.target import check_apart, check_target, read_output
from honed.errors import ArtifactError, HonedError, ParameterError


@pytest.mark.parametrize("out", ["", ".", "..", "/", "//", "./", "out/.", "out/..", "out/./", "../..", "a\0b"])
def test_what_ends_in_no_name_is_refused_with_a_remedy(out: str) -> None:
    with pytest.raises(ParameterError, match="output = "):
        read_output(out)


@pytest.mark.parametrize("out", ["out", "out/", "../out", "a/../out", ".out", "...", Path("out")])
def test_what_ends_in_a_name_is_taken(out: str | Path) -> None:
    assert read_output(out) == Path(out)


def test_what_is_there_and_may_not_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years")
    (tmp_path / "link").symlink_to(tmp_path / "home")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "planted").mkdir()
    (tmp_path / "planted" / "honed.json").touch()
    (tmp_path / "planted" / "thesis.txt").write_text("years")
    os.mkfifo(tmp_path / "fifo")
    for name in ("file", "home", "link", "dangling", "planted", "fifo"):
        with pytest.raises(ArtifactError, match="exists already"):
            check_target(tmp_path / name, replaces="nothing")
        with pytest.raises(ArtifactError, match=rf"{name}.*(replaces only an artifact|is not JSON).*"):
            check_target(tmp_path / name, replaces="artifact")
    assert (tmp_path / "home" / "thesis.txt").read_text() == "years"
    (tmp_path / "empty").mkdir()
    assert check_target(tmp_path / "empty", replaces="artifact") is None
    with pytest.raises(ArtifactError, match="mount point"):
        check_target(Path("/proc"), replaces="artifact")


def test_places_that_cannot_hold_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArtifactError, match="is not a directory"):
        check_target(tmp_path / "file" / "out", replaces="nothing")
    with pytest.raises(ArtifactError, match="name is too long"):
        check_target(tmp_path / ("x" * 300), replaces="nothing")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ArtifactError, match="cannot be written to"):
        check_target(tmp_path / "out", replaces="nothing")


def test_the_model_and_the_output_are_apart(tmp_path: Path) -> None:
    model = tmp_path / "models" / "model"
    model.mkdir(parents=True)
    weights = model / "model.safetensors"
    weights.touch()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "tokenizer.json").touch()
    (model / "tokenizer.json").symlink_to(elsewhere / "tokenizer.json")
    (tmp_path / "alias").symlink_to(model)
    (tmp_path / "up").symlink_to(tmp_path / "models")
    files = (weights, model / "tokenizer.json")

    refused = {
        "the model itself": model,
        "by another name": tmp_path / "alias",
        "inside": model / "out",
        "deep inside": model / "a" / "b" / "out",
        "inside by another name": tmp_path / "alias" / "out",
        "above": tmp_path / "models",
        "above by another name": tmp_path / "up",
        "above everything": tmp_path,
        "with what a link leads to": elsewhere,
        "around and back": tmp_path / "other" / ".." / "models" / "model" / "out",
    }
    for output in refused.values():
        with pytest.raises(HonedError, match="which is to be compressed"):
            check_apart(output, model, files)
    with pytest.raises(HonedError, match="which is to be compressed"):
        check_apart(elsewhere, tmp_path / "alias", [tmp_path / "alias" / "tokenizer.json"])
    with pytest.raises(HonedError, match="which is to be compressed"):
        check_apart(tmp_path / "model.gguf", tmp_path / "model.gguf", [tmp_path / "model.gguf"])
    for output in (
        tmp_path / "out",
        tmp_path / "models" / "out",
        tmp_path / "models" / "model-int8",
        elsewhere / "out",
    ):
        check_apart(output, model, files)
