from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import pre_tokenizers

import honed
from honed.checkpoints import synthetic
from honed.checkpoints.open import open_checkpoint
from honed.checkpoints.safetensors.reader import SafetensorsFile
from honed.checkpoints.synthetic import byte_characters, fetch, tokenizer
from honed.checkpoints.synthetic_shapes import SHAPES
from honed.errors import MachineError, ParameterError

TINY = ["llama-tiny", "granite-moe-tiny"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_made_once_the_same_everywhere(tmp_path: Path) -> None:
    first = fetch("llama-tiny", tmp_path / "a")
    stamp = (first / "model.safetensors").stat().st_mtime_ns
    assert fetch("llama-tiny", tmp_path / "a") == first
    assert (first / "model.safetensors").stat().st_mtime_ns == stamp
    second = fetch("llama-tiny", tmp_path / "b")
    for file in first.iterdir():
        assert file.read_bytes() == (second / file.name).read_bytes()
    with (first / "model.safetensors").open("r+b") as weights:
        weights.truncate(1000)
    assert fetch("llama-tiny", tmp_path / "a") == first
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()


@pytest.mark.parametrize("shape", TINY)
def test_weights_have_the_deviation_that_is_asked_for(shape: str) -> None:
    (file,) = open_checkpoint(f"synthetic:{shape}").files
    tensors = SafetensorsFile(file)
    for name, extents, deviation in SHAPES[shape].tensors():
        values = (tensors.tensor(name).astype(np.uint32) << 16).view(np.float32)
        assert values.shape == extents
        if deviation is None:
            assert (values == 1).all()
        else:
            assert values.std() == pytest.approx(deviation, rel=0.1)
    first, second = (tensors.tensor(f"model.layers.{i}.self_attn.q_proj.weight").ravel() for i in range(2))
    assert (first == second).mean() < 0.05, "no two weights are alike"


@pytest.mark.parametrize("shape", TINY)
def test_activations_stay_of_the_size_of_inputs(shape: str) -> None:
    """transformers' logits in float32: of a random head with rows of length 1 they have a deviation near 1."""
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    directory = open_checkpoint(f"synthetic:{shape}").path
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    ids = AutoTokenizer.from_pretrained(directory)("The capital of France", return_tensors="pt")["input_ids"]
    logits = model(ids).logits[0]
    assert 0.3 < logits.std() < 3
    assert (logits.argmax(-1) != ids[0]).any(), "not every token is followed by itself"


@pytest.mark.parametrize(("shape", "recipe"), [("llama-tiny", "int8"), ("granite-moe-tiny", "int4")])
def test_runs_and_compresses(shape: str, recipe: str, tmp_path: Path) -> None:
    honed.compress(f"synthetic:{shape}", recipe, out=tmp_path / "out")
    with honed.load(tmp_path / "out") as model:
        assert len(model.generate("Hello there", max_tokens=5, temperature=0).tokens) <= 5
    manifest = json.loads((tmp_path / "out" / "honed.json").read_text())
    assert manifest["source"]["name"] == f"synthetic:{shape}"


@pytest.mark.parametrize("vocabulary", [300, 32000])
def test_tokenizer_has_a_token_for_every_row_and_loses_no_text(vocabulary: int) -> None:
    fast = FastTokenizer.from_str(json.dumps(tokenizer(vocabulary)))
    assert fast.get_vocab_size() == vocabulary
    text = "the then rain über 東京 \n\t\x00"
    ids = fast.encode(text).ids
    assert fast.decode(ids, skip_special_tokens=False) == text
    assert len(ids) < len(text.encode())
    assert fast.encode("</s>").ids == [1]


def test_bytes_are_written_as_byte_level_vocabularies_write_them() -> None:
    assert sorted(byte_characters()) == sorted(pre_tokenizers.ByteLevel.alphabet())
    assert byte_characters()[ord("A")] == "A"
    assert byte_characters()[ord(" ")] == "Ġ"


def test_refusals(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ParameterError, match=r"'synthetic:gpt': must be one of synthetic:llama-1\.1b"):
        open_checkpoint("synthetic:gpt")
    with pytest.raises(ParameterError, match="only a Hugging Face id has revisions"):
        open_checkpoint("synthetic:llama-tiny", "main")
    monkeypatch.setattr("honed.checkpoints.artifact.staging.shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(MachineError, match="disk is too full"):
        open_checkpoint("synthetic:llama-tiny")
    assert not synthetic._is_whole(own_cache / "honed" / "synthetic" / "llama-tiny-1")
