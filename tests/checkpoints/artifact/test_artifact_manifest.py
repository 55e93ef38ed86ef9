"""honed.json: it says the same for the same input, and every change to it is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from honed.checkpoints.artifact.manifest import (
    FileRecord,
    Provenance,
    WeightRecord,
    build_document,
    checksum,
    read_manifest,
    to_text,
)
from honed.encodings.scheme import DenseScheme, Int8Scheme
from honed.errors import ArtifactError

WEIGHTS = {
    "a.weight": WeightRecord(Int8Scheme(32, 32), (4, 64), 0.005),
    "norm.weight": WeightRecord(DenseScheme("float32"), (64,)),
}
FILES = {"model.safetensors": FileRecord(10, "ab" * 32)}


def document() -> dict[str, Any]:
    provenance = Provenance("tiny", "gguf", {"tiny.gguf": FileRecord(7, "cd" * 32)}, {"passes": []}, ("a note",))
    return build_document(provenance, WEIGHTS, "a.weight", FILES)


def saved(tmp_path: Path, value: dict[str, Any], *, sign: bool = False) -> Path:
    if sign:
        body = {key: item for key, item in value.items() if key != "checksum"}
        value = {**body, "checksum": checksum(body)}
    path = tmp_path / "honed.json"
    path.write_text(to_text(value))
    return path


def test_round_trip(tmp_path: Path) -> None:
    manifest = read_manifest(saved(tmp_path, document()))
    assert manifest.weights == WEIGHTS
    assert manifest.files == FILES
    assert manifest.head == "a.weight"
    assert manifest.document["source"]["files"]["tiny.gguf"]["sha256"] == "cd" * 32
    assert document() == document()


def test_every_changed_value_is_found(tmp_path: Path) -> None:
    text = to_text(document())
    for old, new in (('"tiny"', '"tine"'), ("0.005", "0.006"), ('"group": 32', '"group": 64'), ("abab", "abac")):
        assert old in text
        (tmp_path / "honed.json").write_text(text.replace(old, new, 1))
        with pytest.raises(ArtifactError, match=r"honed\.json: checksum"):
            read_manifest(tmp_path / "honed.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "format: is 'other'"),
        ({"format_version": 2}, "format_version: is 2; this version of honed reads 1"),
        ({"weights": {"a.weight": {"encoding": "int9"}}}, "is not a manifest"),
        ({"weights": [1]}, "is not a manifest"),
        ({"files": {"x": {"bytes": 1}}}, "is not a manifest"),
        ({"head": "b.weight"}, "head = 'b.weight'"),
        ({"weights": {"a.weight": {"encoding": "int8", "group": 32, "shape": [0, 4]}}}, "shape"),
    ],
)
def test_a_signed_manifest_that_makes_no_sense_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = saved(tmp_path, {**document(), **change}, sign=True)
    with pytest.raises(ArtifactError, match=message):
        read_manifest(path)


def test_nothing_of_the_time_or_place_is_written(tmp_path: Path) -> None:
    text = json.dumps(document())
    assert str(Path.cwd()) not in text
    assert str(Path.home()) + "/" not in text
