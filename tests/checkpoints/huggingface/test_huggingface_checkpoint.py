"""Hugging Face directories as transformers saves them; indexes, links, pickles and configs that would do harm."""

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

from honed.checkpoints.huggingface.checkpoint import INDEX, SINGLE, Directory, HuggingFaceCheckpoint
from honed.encodings.dense import Dense
from honed.errors import FormatError, HonedError, SourceError, UnsupportedError
from safetensors_builder import write_arrays


def opened(path: Path) -> HuggingFaceCheckpoint:
    return HuggingFaceCheckpoint(Directory(path))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("shard", ["1GB", "20KB"])
def test_reads_what_transformers_saves(tiny_llama: Path, tmp_path: Path, dtype: str, shard: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=getattr(torch, dtype))
    model.save_pretrained(tmp_path, max_shard_size=shard)
    checkpoint = opened(tmp_path)
    expected = {name: value for name, value in model.state_dict().items() if name != "lm_head.weight"}
    assert set(checkpoint.names) == set(expected)
    assert (len(checkpoint.files) > 1) == (shard == "20KB")
    for name, values in expected.items():
        weight = checkpoint.weight(name)
        assert isinstance(weight, Dense)
        assert weight.dtype == dtype
        assert np.array_equal(weight.decode(), values.float().numpy())
    assert (checkpoint.kind, checkpoint.path) == ("huggingface", tmp_path)
    assert checkpoint.config["hidden_size"] == 48
    with pytest.raises(KeyError):
        checkpoint.weight("no.such.weight")


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


def change_config(path: Path, changes: dict[str, Any]) -> None:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | changes))


def test_shards(sharded: Path) -> None:
    checkpoint = opened(sharded)
    assert [file.name for file in checkpoint.files] == [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    assert checkpoint.weight("model.norm.weight").shape == (48,)


def test_missing_shard(sharded: Path) -> None:
    (sharded / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(SourceError, match=r"weight_map: the shard model-00002-of-00002.safetensors is not in"):
        opened(sharded)


def test_tensor_that_the_index_does_not_list(sharded: Path) -> None:
    index = json.loads((sharded / INDEX).read_text())
    del index["weight_map"]["model.norm.weight"]
    (sharded / INDEX).write_text(json.dumps(index))
    with pytest.raises(FormatError, match=r"model.norm.weight: is not listed in the index"):
        opened(sharded)


def test_tensor_that_no_shard_has(sharded: Path) -> None:
    change_index(sharded, {"extra.weight": "model-00001-of-00002.safetensors"})
    with pytest.raises(FormatError, match=r"extra.weight: is listed in the index, but not in the file"):
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


@pytest.mark.parametrize("name", [SINGLE, "config.json", "tokenizer.json"])
def test_links_that_leave_the_directory(model: Path, name: str) -> None:
    target = model.parent / "outside"
    shutil.move(model / name, target)
    (model / name).symlink_to(target)
    with pytest.raises(FormatError, match=f"{name}: link: leads out of the directory"):
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


def test_code_of_the_checkpoint_does_not_run(model: Path) -> None:
    planted = model.parent / "planted"
    (model / "modeling_mine.py").write_text(f"open({str(planted)!r}, 'w')")
    automap = {"AutoModelForCausalLM": "modeling_mine.Mine"}
    change_config(model, {"auto_map": automap})
    assert len(opened(model).names) == 20  # a known architecture needs no code
    change_config(model, {"auto_map": automap, "model_type": "mine"})
    with pytest.raises(UnsupportedError, match=r"auto_map: the model needs code .* never runs that"):
        opened(model)
    assert not planted.exists()


def test_other_quantizations_are_refused(model: Path) -> None:
    for method in ({"quant_method": "gptq"}, {"bits": 4}, "awq"):
        change_config(model, {"quantization_config": method})
        with pytest.raises(UnsupportedError, match=r"quantization_config: quant_method .* use the unquantized"):
            opened(model)


def test_weights_of_other_types_are_refused_by_name(model: Path) -> None:
    whole = Directory(model)
    arrays = {name: np.array(whole.tensor(name)) for name in whole.names}
    write_arrays(model / SINGLE, arrays | {"model.norm.weight": np.ones(48, np.int8)})
    with pytest.raises(UnsupportedError, match=r"tensor model.norm.weight: type I8 is not a weight"):
        opened(model).weight("model.norm.weight")


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
    "text", ["", "[]", "{", '{"a":1,"a":2}', '{"a":' + "[" * 100_000, "\xff", '{"a":' + "9" * 5000 + "}"]
)
def test_malformed_config(model: Path, text: str) -> None:
    (model / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(FormatError, match=r"config.json: "):
        opened(model)
