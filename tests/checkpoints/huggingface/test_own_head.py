"""Heads of files whose config ties them: transformers is the judge."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import honed
from honed.checkpoints.huggingface.checkpoint import HuggingFaceCheckpoint
from honed.checkpoints.huggingface.directory import Directory
from honed.checkpoints.open import open_checkpoint
from honed.notes import HonedWarning

ROUNDED = {"passes": [{"pass": "round_to_nearest", "weights": {"bits": 8, "group": 32}}]}
SAID = "tie_word_embeddings is true, but the weights hold an lm_head.weight that differs"


def with_head(source: Path, path: Path, head: torch.Tensor | None) -> Path:
    """A copy of a tied model, with a head in the file; None: the embedding once more."""
    path.mkdir()
    for file in source.iterdir():
        if file.name != "model.safetensors":
            (path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(source / "model.safetensors")
    assert json.loads((path / "config.json").read_text())["tie_word_embeddings"] is True
    embedding = tensors["model.embed_tokens.weight"]
    tensors["lm_head.weight"] = embedding.clone() if head is None else head
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
    return path


@pytest.fixture
def own(tiny_llama: Path, tmp_path: Path) -> Path:
    embedding = load_file(tiny_llama / "model.safetensors")["model.embed_tokens.weight"]
    torch.manual_seed(3)
    return with_head(tiny_llama, tmp_path / "own", torch.randn_like(embedding))


def test_the_head_of_the_file_is_run(own: Path) -> None:
    prompt = [5, 9, 2, 11]
    model = transformers.AutoModelForCausalLM.from_pretrained(own, dtype=torch.float32).eval()
    expected = model.generate(torch.tensor([prompt]), max_new_tokens=12, do_sample=False, eos_token_id=None)
    with pytest.warns(HonedWarning, match=SAID), honed.load(own, dtype="float32") as loaded:
        found = loaded.generate(prompt, max_tokens=12, temperature=0).tokens
    assert list(found) == expected[0, len(prompt) :].tolist()[: len(found)]
    assert len(found) > 2


def test_compress_keeps_it(own: Path, tmp_path: Path) -> None:
    with pytest.warns(HonedWarning, match=SAID):
        honed.compress(str(own), recipe=ROUNDED, out=str(tmp_path / "artifact"))
    config = json.loads((tmp_path / "artifact" / "config.json").read_text())
    assert config["tie_word_embeddings"] is False
    written = open_checkpoint(str(tmp_path / "artifact")).weight("lm_head.weight").decode()
    head = load_file(own / "model.safetensors")["lm_head.weight"].float().numpy()
    assert float(np.abs(written - head).max()) < 0.05
    transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "artifact")


def test_a_head_that_is_the_embedding_stays_tied(tiny_llama: Path, tmp_path: Path) -> None:
    path = with_head(tiny_llama, tmp_path / "same", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checkpoint = HuggingFaceCheckpoint(Directory(path))
    assert checkpoint.config["tie_word_embeddings"] is True


def test_one_differing_value_at_the_very_end_counts(tiny_llama: Path, tmp_path: Path) -> None:
    head = load_file(tiny_llama / "model.safetensors")["model.embed_tokens.weight"].clone()
    head[-1, -1] += 1
    path = with_head(tiny_llama, tmp_path / "nearly", head)
    with pytest.warns(HonedWarning, match=SAID):
        assert HuggingFaceCheckpoint(Directory(path)).config["tie_word_embeddings"] is False
