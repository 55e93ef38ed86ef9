"""Checkpoints written as GGUF with the `gguf` package, read back by honed's own reader of GGUF files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from honed.bench.peers.base import PeerError
from honed.bench.peers.gguf_model import file_footprint, splitting_name, write_gguf
from honed.checkpoints import synthetic
from honed.checkpoints.gguf.pretokenizers import SPLITTINGS
from honed.checkpoints.open import open_checkpoint
from honed.checkpoints.synthetic_shapes import SHAPES, Shape


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def dense(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shape = Shape({**SHAPES["llama-tiny"].config, "tie_word_embeddings": request.param})
    monkeypatch.setitem(SHAPES, "llama-tiny", shape)
    return synthetic.fetch("llama-tiny", tmp_path)


def test_file_is_the_same_model(dense: Path, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    write_gguf(dense, tmp_path / "m.gguf", "gpt-2")
    source, written = open_checkpoint(str(dense)), open_checkpoint(str(tmp_path / "m.gguf"))
    assert set(written.names) == set(source.names)
    for name in source.names:
        assert np.array_equal(written.weight(name).decode(), source.weight(name).decode()), name
    for key, value in written.config.items():
        if key != "rms_norm_eps":
            assert source.config[key] == value, key
    assert written.config["rms_norm_eps"] == np.float32(1e-5)
    text = "the then rain über 東京 \n 12345"
    assert written.tokenizer().encode(text) == source.tokenizer().encode(text)
    assert written.tokenizer().end_tokens >= {1}


def test_footprint_counts_matrices_once_and_the_head(dense: Path, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    write_gguf(dense, tmp_path / "m.gguf", "gpt-2")
    footprint, label = file_footprint(tmp_path / "m.gguf")
    layers = 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 160 * 64)
    assert footprint.prompt_operations == 2 * layers
    assert footprint.head_operations == 2 * 300 * 64
    assert footprint.weight_bytes == 2 * (layers + 300 * 64)
    assert footprint.kv_bytes_per_position == 2 * 2 * 32 * 2, "layers, keys and values, their width, 16 bits"
    assert (label, footprint.arithmetic) == ("BF16", "other")


@pytest.mark.parametrize("name", ["gpt-2", "smollm", "llama-bpe", "qwen2"])
def test_splitting_is_told_by_its_patterns(name: str, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models

    fast = Tokenizer(models.BPE())
    fast.pre_tokenizer = SPLITTINGS[name].pre_tokenizer()
    fast.save(str(tmp_path / "tokenizer.json"))
    found = splitting_name(tmp_path / "tokenizer.json")
    assert SPLITTINGS[found] == SPLITTINGS[name]


def test_splitting_as_transformers_writes_that_of_smollm(tmp_path: Path) -> None:
    digits = {"type": "Digits", "individual_digits": True}
    parts = [digits, {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}]
    document = {"pre_tokenizer": {"type": "Sequence", "pretokenizers": parts}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    assert splitting_name(tmp_path / "tokenizer.json") == "smollm"
    (tmp_path / "tokenizer.json").write_text(json.dumps({"pre_tokenizer": digits}))
    assert splitting_name(tmp_path / "tokenizer.json") == "default"


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("config.json", {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rope_scaling: models with scaled"),
        ("tokenizer.json", {"model": {"type": "WordLevel"}}, "'WordLevel' is not converted to GGUF here, only BPE"),
    ],
)
def test_refusals(file: str, change: dict[str, object], message: str, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    dense = synthetic.fetch("llama-tiny", tmp_path)
    (dense / file).write_text(json.dumps({**json.loads((dense / file).read_text()), **change}))
    with pytest.raises(PeerError, match=message):
        write_gguf(dense, tmp_path / "m.gguf", "gpt-2")
