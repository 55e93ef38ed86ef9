"""honed.json: it says the same for the same input, and every change to it is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
from honed.errors import ArtifactError, FormatError, HonedError

WEIGHTS = {
    "a.weight": WeightRecord(Int8Scheme(32, 32), (4, 64), 0.005, tied_table=True),
    "norm.weight": WeightRecord(DenseScheme("float32"), (64,)),
}
INT8 = {"encoding": "int8", "group": 32, "activation_group": 32, "shape": [4, 64]}
DENSE = {"encoding": "dense", "dtype": "bfloat16", "shape": [4, 64]}
FILES = {"model.safetensors": FileRecord(10, "ab" * 32)}


def document() -> dict[str, Any]:
    provenance = Provenance("tiny", "gguf", {"tiny.gguf": FileRecord(7, "cd" * 32)}, {"passes": []}, ("a note",))
    return build_document(provenance, WEIGHTS, "a.weight", FILES)


def saved(tmp_path: Path, value: dict[str, Any], *, sign: bool = False) -> Path:
    if sign:
        body = {key: item for key, item in value.items() if key != "checksum"}
        value = {**body, "checksum": checksum(body)}
    path = tmp_path / "honed.json"
    path.write_text(json.dumps(value, indent=2))
    return path


def test_round_trip(tmp_path: Path) -> None:
    manifest = read_manifest(saved(tmp_path, document()))
    assert manifest.weights == WEIGHTS
    assert manifest.files == FILES
    assert manifest.head == "a.weight"
    assert not manifest.portable
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
        ({"format_version": 3}, "format_version: is 3; this version of honed reads 1 and 2"),
        ({"format_version": True}, "format_version: is True"),
        ({"portable": 1}, "portable: is 1, must be true or false"),
        ({"head": None, "weights": {"a.weight": {**INT8, "tied_table": True}}}, "head: is None, must be 'a.weight'"),
        ({"weights": {"a.weight": {**INT8, "tied_table": 1}}}, "tied_table: is 1, must be true or false"),
        ({"weights": {"a.weight": {**DENSE, "tied_table": True}}}, "tied_table: is True, must be false for a dense"),
        ({"weights": {"a.weight": {"encoding": "int9"}}}, "encoding = 'int9'"),
        ({"weights": [1]}, r"weights: is \[1\], must be an object"),
        ({"weights": {"a.weight": 1}}, "weights: 'a.weight': is 1, must be an object"),
        ({"weights": {"a\n.weight": 1}}, "weights: is .*must be a text"),
        ({"weights": {"x" * 2000: 1}}, "weights: is .*must be a text"),
        ({"weights": {"a.weight": {**INT8, "group": [32]}}}, "group = "),
        ({"weights": {"a.weight": {"encoding": "dense", "dtype": {}, "shape": [4]}}}, "must be an encoding"),
        ({"weights": {"a.weight": {**INT8, "shape": [0, 4]}}}, r"shape: is 0, must be a whole number from 1"),
        ({"weights": {"a.weight": {**INT8, "shape": [4]}}}, r"shape: is \[4\], must be two sizes"),
        ({"weights": {"a.weight": {**INT8, "shape": [4, 64.0]}}}, r"shape: is 64.0, must be a whole number"),
        ({"weights": {"a.weight": {**INT8, "shape": [4, True]}}}, r"shape: is True"),
        ({"weights": {"a.weight": {**INT8, "shape": [1 << 62, 1 << 62]}}}, r"sizes that memory can hold"),
        ({"weights": {"a.weight": {**INT8, "relative_error": float("nan")}}}, r"relative_error: is nan"),
        ({"weights": {"a.weight": {**INT8, "relative_error": "0"}}}, r"relative_error: is '0'"),
        ({"files": {"x": {"bytes": 1}}}, "files: 'x': sha256: is None"),
        ({"files": {"x": {"bytes": float("inf"), "sha256": "ab" * 32}}}, "files: 'x': bytes: is inf, must"),
        ({"files": {"x": {"bytes": float("nan"), "sha256": "ab" * 32}}}, "files: 'x': bytes: is nan"),
        ({"files": {"x": {"bytes": -1, "sha256": "ab" * 32}}}, "files: 'x': bytes: is -1"),
        (
            {"files": {"x": {"bytes": 10**200, "sha256": "ab" * 32}}},
            "is a number of about 200 digits",
        ),
        ({"files": {"x": {"bytes": 10**400, "sha256": "ab" * 32}}}, "holds a number of 401 digits"),
        ({"files": {"x": {"bytes": 1, "sha256": "AB" * 32}}}, "files: 'x': sha256"),
        ({"files": {"x" * 5000: {}}}, "is no name of a file"),
        ({"files": {"x" * 300: {}}}, "is longer than a file's name can be"),
        ({"files": {"../x": {}}}, "files: '../x' leads out of the directory"),
        ({"files": {"/etc/passwd": {}}}, "leads out of the directory"),
        ({"files": {"a//b": {}}}, "is no name of a file"),
        ({"files": {"a\\b": {}}}, "is no name of a file"),
        ({"files": {"\x1b[2J": {}}}, "is no name of a file"),
        ({"files": {"\ud800": {}}}, "half of a surrogate pair"),
        ({"files": {"": {}}}, "is no name of a file"),
        ({"head": "b.weight"}, "head: is 'b.weight', must be null or the name of a weight"),
        ({"head": ["a.weight"]}, "head: is "),
        ({"source": None}, "source: is None, must be an object"),
        ({"source": {"name": 1, "kind": "gguf", "files": {}}}, "source.name: is 1"),
        ({"notes": "a"}, "notes: is 'a', must be a list of texts"),
        ({"versions": {}}, "versions.honed: is None"),
        ({"recipe": []}, "recipe: is"),
    ],
)
def test_a_signed_manifest_that_makes_no_sense_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = saved(tmp_path, {**document(), **change}, sign=True)
    with pytest.raises((ArtifactError, FormatError), match=message):
        read_manifest(path)


@pytest.mark.parametrize("missing", ["weights", "head", "files", "source", "recipe", "versions", "notes"])
def test_a_missing_field_is_named(tmp_path: Path, missing: str) -> None:
    path = saved(tmp_path, {key: value for key, value in document().items() if key != missing}, sign=True)
    with pytest.raises(ArtifactError, match=f"{missing}: is missing"):
        read_manifest(path)


def test_documents_are_noted_apart_also_where_an_earlier_version_listed_them(tmp_path: Path) -> None:
    record = FileRecord(3, "ef" * 32)
    provenance = Provenance("tiny", "gguf", {}, {"passes": []})
    made = build_document(provenance, WEIGHTS, "a.weight", {**FILES, "README.md": record})
    assert set(made["files"]) == set(FILES)
    assert read_manifest(saved(tmp_path, made)).documents == {"README.md": record}
    earlier = {**made, "files": {**made["files"], **made.pop("documents")}}
    del earlier["documents"]
    found = read_manifest(saved(tmp_path, earlier, sign=True))
    assert (found.files, found.documents) == (FILES, {"README.md": record})


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value of a document."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [found for key, item in inside for found in places(item, (*path, key))]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("x" * 100_000),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_stands_in_a_signed_manifest_it_is_read_or_refused_in_a_sentence(tmp_path: Path, data: Any) -> None:
    value = document()
    *path, last = data.draw(st.sampled_from(places(value)))
    holder = value
    for key in path:
        holder = holder[key]
    new, renames = data.draw(JSON), data.draw(st.booleans())
    if renames and isinstance(holder, dict):
        holder[data.draw(st.text(max_size=300))] = holder.pop(last)
    else:
        holder[last] = new
    body = {key: item for key, item in value.items() if key != "checksum"}
    path = tmp_path / "honed.json"
    path.write_bytes(to_text({**body, "checksum": checksum(body)}).encode("utf-8", "surrogatepass"))
    try:
        manifest = read_manifest(path)
    except HonedError as error:
        assert len(str(error)) < 600
        assert str(error).isprintable()
    else:
        assert all(record.nbytes >= 0 for record in manifest.files.values())


def test_nothing_of_the_time_or_place_is_written(tmp_path: Path) -> None:
    text = json.dumps(document())
    assert str(Path.cwd()) not in text
    assert str(Path.home()) + "/" not in text
