"""Hugging Face directories as transformers saves them, and what is refused of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honed.checkpoints.huggingface.checkpoint import HuggingFaceCheckpoint
from honed.checkpoints.huggingface.directory import SINGLE, Directory
from honed.encodings.dense import Dense
from honed.errors import UnsupportedError
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


def change_config(path: Path, changes: dict[str, Any]) -> None:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | changes))


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
