"""The files of Hugging Face directories: shards, and indexes, links, pickles and configs that would do harm."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.checkpoints.huggingface.checkpoint import HuggingFaceCheckpoint
from honed.checkpoints.huggingface.directory import INDEX, SINGLE, Directory
from honed.checkpoints.safetensors.reader import SafetensorsFile
from honed.errors import FormatError, HonedError, SourceError, UnsupportedError
from honed.notes import HonedWarning
from safetensors_builder import write_arrays


def opened(path: Path) -> HuggingFaceCheckpoint:
    return HuggingFaceCheckpoint(Directory(path))


@pytest.fixture
def model(tiny_llama: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return shutil.copytree(tiny_llama, tmp_path / "model")


@pytest.fixture
def sharded(model: Path) -> Path:
    """The same in two shards."""
    whole = Directory(model)
    arrays = {name: np.array(whole.tensor(name)) for name in whole.names}
    (model / SINGLE).unlink()
    names = sorted(arrays)
    weight_map = {name: f"model-0000{1 + (i % 2)}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in set(weight_map.values()):
        write_arrays(model / file, {name: arrays[name] for name in names if weight_map[name] == file})
    (model / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return model


def change_index(path: Path, changes: dict[str, Any]) -> None:
    index = json.loads((path / INDEX).read_text())
    index["weight_map"] |= changes
    (path / INDEX).write_text(json.dumps(index))


def test_shards(sharded: Path) -> None:
    checkpoint = opened(sharded)
    assert [file.name for file in checkpoint.files] == [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    assert checkpoint.weight("model.norm.weight").shape == (48,)


def test_missing_shard(sharded: Path) -> None:
    (sharded / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(SourceError, match=r"weight_map: the shard model-00002-of-00002.safetensors is not in"):
        opened(sharded)


def test_shards_of_any_plain_name(sharded: Path) -> None:
    index = json.loads((sharded / INDEX).read_text())
    for old in sorted(set(index["weight_map"].values())):
        new = old.replace("model-", "model.safetensors-")
        (sharded / old).rename(sharded / new)
        index["weight_map"] = {name: new if file == old else file for name, file in index["weight_map"].items()}
    (sharded / INDEX).write_text(json.dumps(index))
    assert len(opened(sharded).names) == 20


def test_tensor_that_the_index_does_not_list_is_there(sharded: Path) -> None:
    index = json.loads((sharded / INDEX).read_text())
    del index["weight_map"]["model.norm.weight"]
    (sharded / INDEX).write_text(json.dumps(index))
    with pytest.warns(HonedWarning, match=r"does not list 1 tensors which the shards hold: model.norm.weight"):
        assert opened(sharded).weight("model.norm.weight").shape == (48,)


def test_tensor_that_is_in_another_shard_than_the_index_says(sharded: Path) -> None:
    index = json.loads((sharded / INDEX).read_text())
    name = "model.norm.weight"
    other = next(file for file in index["weight_map"].values() if file != index["weight_map"][name])
    change_index(sharded, {name: other})
    with pytest.warns(HonedWarning, match=r"model.norm.weight"):
        assert opened(sharded).weight(name).shape == (48,)


def test_tensor_that_is_not_listed_and_there_twice(sharded: Path) -> None:
    for number in (1, 2):
        path = sharded / f"model-0000{number}-of-00002.safetensors"
        arrays = {name: np.array(SafetensorsFile(path).tensor(name)) for name in SafetensorsFile(path).entries}
        write_arrays(path, arrays | {"extra.weight": np.zeros(2, np.float32)})
    with pytest.raises(FormatError, match=r"extra.weight: is not listed, and both in"):
        opened(sharded)


def test_tensor_that_no_shard_has(sharded: Path) -> None:
    change_index(sharded, {"extra.weight": "model-00001-of-00002.safetensors"})
    with pytest.warns(HonedWarning, match=r"lists 1 tensors which the shards do not hold there: extra.weight"):
        assert len(opened(sharded).names) == 20


def test_tensor_that_is_needed_and_in_no_shard(sharded: Path) -> None:
    index = json.loads((sharded / INDEX).read_text())
    path = sharded / index["weight_map"]["model.norm.weight"]
    file = SafetensorsFile(path)
    arrays = {name: np.array(file.tensor(name)) for name in file.entries if name != "model.norm.weight"}
    write_arrays(path, arrays)
    with (
        pytest.warns(HonedWarning, match=r"lists 1 tensors"),
        pytest.raises(FormatError, match=r"model.norm.weight: is missing"),
    ):
        opened(sharded)


@pytest.mark.parametrize(
    "file",
    [
        "../outside.safetensors",
        "/etc/outside.safetensors",
        "sub/model.safetensors",
        "..\\outside.safetensors",
        "C:\\outside.safetensors",
        "..",
        "",
        "model\0.safetensors",
        "model.bin",
        7,
        None,
        ["model-00001-of-00002.safetensors"],
    ],
)
def test_index_that_leads_elsewhere(sharded: Path, file: Any) -> None:
    write_arrays(sharded.parent / "outside.safetensors", {"extra.weight": np.zeros(2, np.float32)})
    change_index(sharded, {"extra.weight": file})
    with pytest.raises(FormatError, match=r"weight_map: extra.weight: .* must be a .safetensors file of the directory"):
        opened(sharded)


@pytest.mark.parametrize(
    "text", ["[]", '{"weight_map": []}', '{"weight_map": {}}', "{", '{"a":1,"a":2}', '{"a":' * 100_000]
)
def test_malformed_index(sharded: Path, text: str) -> None:
    (sharded / INDEX).write_text(text)
    with pytest.raises(FormatError, match=INDEX):
        opened(sharded)


@settings(deadline=None, max_examples=100, derandomize=True)
@given(data=st.data())
def test_mutated_index(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("index", numbered=True)
    write_arrays(path / "a.safetensors", {"w": np.zeros(2, np.float32)})
    (path / "config.json").write_text("{}")
    raw = bytearray(b'{"metadata": {"total_size": 8}, "weight_map": {"w": "a.safetensors"}}')
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.integers(0, 4))] = data.draw(
            st.one_of(
                st.binary(max_size=4), st.sampled_from([b"../", b"/", b'"', b"{", b"}", b"null", b"1e999", b"\\u0000"])
            )
        )
    (path / INDEX).write_bytes(raw)
    try:
        names = Directory(path).names
    except HonedError:
        return
    assert names == ("w",)


def test_links_into_a_cache(model: Path) -> None:
    """A directory of links, as `hf download --local-dir` made it."""
    (model.parent / "cache").mkdir()
    for file in list(model.iterdir()):
        target = model.parent / "cache" / f"hash-{file.name}"
        shutil.move(file, target)
        file.symlink_to(target)
    assert len(opened(model).names) == 20
    opened(model).tokenizer()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("name", [SINGLE, "config.json", "tokenizer.json"])
def test_links_of_a_stranger_lead_to_files_of_that_stranger_only(model: Path, name: str) -> None:
    target = model.parent / "outside"
    shutil.move(model / name, target)
    (model / name).symlink_to(target)
    os.chown(model / name, 12345, 12345, follow_symlinks=False)
    with pytest.raises(FormatError, match=f"{name}: link: leads to .*outside of another owner than the link; copy the"):
        opened(model).tokenizer()
    os.chown(target, 12345, 12345)
    opened(model).tokenizer()


def test_links_within_the_directory(model: Path) -> None:
    shutil.move(model / SINGLE, model / "stored")
    (model / SINGLE).symlink_to("stored")
    assert len(opened(model).names) == 20


def test_links_of_the_hub_cache(model: Path) -> None:
    repository = model.parent / "models--org--name"
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    for file in model.iterdir():
        shutil.move(file, repository / "blobs" / f"hash-{file.name}")
        (snapshot / file.name).symlink_to(os.path.join("..", "..", "blobs", f"hash-{file.name}"))  # noqa: PTH118
    assert len(opened(snapshot).names) == 20


class _Planted:
    """Unpickled, it writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.target), "w"))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth"])
def test_pickles_are_refused_and_do_not_run(model: Path, name: str) -> None:
    planted = model.parent / "planted"
    (model / SINGLE).unlink()
    (model / name).write_bytes(pickle.dumps(_Planted(planted)))
    with pytest.raises(UnsupportedError, match=r"pickled weights only.*Convert them to safetensors"):
        opened(model)
    assert not planted.exists()
    pickle.loads((model / name).read_bytes()).close()
    assert planted.exists()  # the pickle would have run


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is not a directory"):
        Directory(tmp_path / "no")
    with pytest.raises(SourceError, match=r"has no config.json; it holds nothing"):
        Directory(tmp_path)
    (tmp_path / "model.gguf").touch()
    with pytest.raises(SourceError, match=r"name the GGUF file itself: .*model.gguf"):
        Directory(tmp_path)
    (tmp_path / "model.gguf").unlink()
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(SourceError, match=r"has neither model.safetensors nor .*; it holds config.json"):
        Directory(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"a":' + "[" * 100_000,
        "\xff",
        '{"a":' + "9" * 5000 + "}",
        '{"model_type": "\\ud800"}',
        "[[]," * 999,
    ],
)
def test_malformed_config(model: Path, text: str) -> None:
    (model / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(FormatError, match=r"config.json: "):
        opened(model)


def test_config_that_people_edited(model: Path) -> None:
    text = (model / "config.json").read_text()
    (model / "config.json").write_bytes(
        b"\xef\xbb\xbf" + text.replace("{", '{"use_cache": 1, "use_cache": 2,', 1).encode()
    )
    with pytest.warns(HonedWarning, match="the name 'use_cache' appears twice; the last one counts"):
        assert len(opened(model).names) == 20


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", [SINGLE, "config.json", "tokenizer.json", "generation_config.json"])
def test_what_is_no_file(model: Path, name: str) -> None:
    (model / name).unlink(missing_ok=True)
    (model / name).mkdir()
    with pytest.raises(SourceError, match=f"{name}: cannot be read: is a directory"):
        opened(model).tokenizer()
    (model / name).rmdir()
    os.mkfifo(model / name)
    with pytest.raises(SourceError, match=f"{name}: cannot be read: is a named pipe"):
        opened(model).tokenizer()
    (model / name).unlink()
    (model / name).symlink_to("nothing")
    with pytest.raises(FormatError, match=f"{name}: link: leads to .*nothing, which does not exist"):
        opened(model).tokenizer()


@pytest.mark.parametrize("name", [SINGLE, "config.json", "tokenizer.json"])
def test_git_lfs_pointers_are_named(model: Path, name: str) -> None:
    (model / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 12345\n")
    with pytest.raises(SourceError, match=f"{name}: is a Git LFS pointer .*git lfs pull"):
        opened(model).tokenizer()


def test_an_adapter_is_named(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(SourceError, match="it holds an adapter, which has to be merged"):
        Directory(tmp_path)
