"""What is proved to be honed's and what is foreign, and that only the former is ever removed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from divisible_models import save_llama
from honed.api.compress import compress
from honed.checkpoints.artifact import ownership
from honed.checkpoints.artifact.manifest import checksum, to_text
from honed.errors import ArtifactError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = save_llama(tmp_path_factory.mktemp("ownership") / "source")
    compress(source, "int8", out=source.parent / "int8", portable=True, threads=1)
    return source.parent / "int8"


@pytest.fixture
def artifact(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy"))


def test_an_artifact_as_it_was_written_is_proved_and_removed(artifact: Path, tmp_path: Path) -> None:
    proved = ownership.prove(artifact)
    assert {"honed.json", "README.md", "model.safetensors", "honed/head.safetensors"} <= set(proved.files)
    assert proved.documents == ()
    assert ownership.is_unchanged(artifact, proved)
    ownership.remove(artifact, proved, tmp_path)
    assert not artifact.exists()


FOREIGN = {
    "thesis.txt": "thesis.txt",
    ".hidden": ".hidden",
    "model-00001-of-00002.safetensors": "model-00001",
    "chat_template.jinja": "chat_template",
    "honed/notes.md": "notes.md",
    ".git/x": ".git",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_that_is_not_listed_is_foreign_and_stays(artifact: Path, tmp_path: Path, name: str) -> None:
    (artifact / name).parent.mkdir(exist_ok=True)
    (artifact / name).write_text("years")
    with pytest.raises(
        ArtifactError,
        match=f"{FOREIGN[name]}.*was not written by honed",
    ):
        ownership.prove(artifact)
    (artifact / name).unlink()
    if name == ".git/x":
        (artifact / ".git").rmdir()
    proved = ownership.prove(artifact)
    (artifact / name).parent.mkdir(exist_ok=True)
    (artifact / name).write_text("years")
    assert not ownership.is_unchanged(artifact, proved)
    ownership.remove(artifact, proved, tmp_path)  # it appeared after the proof
    assert (artifact / name).read_text() == "years"
    assert (artifact / "honed.json").exists()  # by which the rest can be proved again
    assert not (artifact / "model.safetensors").exists()
    assert name in str(ownership.remains(artifact))


@pytest.mark.parametrize("kind", ["link", "directory", "link to a directory", "fifo"])
def test_what_is_no_file_is_foreign(artifact: Path, tmp_path: Path, kind: str) -> None:
    path = artifact / "thing"
    make: dict[str, Callable[[], object]] = {
        "link": lambda: path.symlink_to(tmp_path / "anywhere"),
        "directory": path.mkdir,
        "link to a directory": lambda: path.symlink_to(tmp_path),
        "fifo": lambda: os.mkfifo(path),
    }
    make[kind]()
    with pytest.raises(ArtifactError, match="thing: was not written by honed"):
        ownership.prove(artifact)


def test_a_listed_file_with_other_bytes_is_the_users(artifact: Path, tmp_path: Path) -> None:
    weights = artifact / "model.safetensors"
    mine = bytes(reversed(weights.read_bytes()))
    proved = ownership.prove(artifact)
    weights.write_bytes(mine)
    with pytest.raises(ArtifactError, match=r"model\.safetensors: was changed after honed wrote it.*choose another"):
        ownership.prove(artifact)
    ownership.remove(artifact, proved, tmp_path)
    assert weights.read_bytes() == mine
    weights.unlink()
    with pytest.raises(ArtifactError, match=r": is missing, though honed\.json lists it"):
        ownership.prove(artifact)
    ownership.prove(artifact, complete=False)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": "honed-artifact"}', "\x00", None])
def test_a_directory_without_a_manifest_that_is_right_is_no_artifact(artifact: Path, text: str | None) -> None:
    (artifact / "honed.json").unlink()
    if text is not None:
        (artifact / "honed.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"honed\.json"):
        ownership.prove(artifact)


def test_a_list_that_claims_more_than_was_written_proves_only_what_has_its_bytes(artifact: Path) -> None:
    """Anyone can sign a manifest; what it lists must still be there, byte for byte."""
    (artifact / "thesis.txt").write_text("years")
    document = json.loads((artifact / "honed.json").read_text())
    document["files"]["thesis.txt"] = {"bytes": 5, "sha256": "00" * 32}
    body = {key: value for key, value in document.items() if key != "checksum"}
    (artifact / "honed.json").write_text(to_text({**body, "checksum": checksum(body)}))
    with pytest.raises(ArtifactError, match=r"thesis\.txt: was changed"):
        ownership.prove(artifact)


def test_documents_of_the_user_are_carried_over(artifact: Path, tmp_path: Path) -> None:
    (artifact / "README.md").write_text("mine")
    (artifact / "LICENSE").write_text("MIT")
    (artifact / ".gitattributes").write_text("*.safetensors filter=lfs")
    proved = ownership.prove(artifact)
    assert set(proved.documents) == {"README.md", "LICENSE", ".gitattributes"}
    into = tmp_path / "into"
    into.mkdir()
    (into / "README.md").write_text("the new card")
    ownership.carry_documents(artifact, proved, into)
    assert [(into / name).read_text() for name in ("README.md", "LICENSE")] == ["mine", "MIT"]
    ownership.remove(artifact, proved, into)
    assert not artifact.exists()


def test_a_document_that_did_not_arrive_stays(artifact: Path, tmp_path: Path) -> None:
    (artifact / "LICENSE").write_text("MIT")
    proved = ownership.prove(artifact)
    (tmp_path / "LICENSE").write_text("another")
    ownership.remove(artifact, proved, tmp_path)
    assert (artifact / "LICENSE").read_text() == "MIT"


def test_where_files_cannot_be_linked_they_are_copied(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    test_documents_of_the_user_are_carried_over(artifact, tmp_path)


def test_a_certificate_belongs_to_the_artifact_and_only_if_it_is_one(artifact: Path) -> None:
    (artifact / "certificate.json").write_text(
        '{"candidate": {}, "reference": {}, "intervals": {}, "settings": {}, "tokens": 1}'
    )
    assert "certificate.json" in ownership.prove(artifact).files
    (artifact / "certificate.json").write_text('{"certificate": "-----BEGIN CERTIFICATE-----"}')
    with pytest.raises(ArtifactError, match=r"certificate\.json: was not written by honed"):
        ownership.prove(artifact)
