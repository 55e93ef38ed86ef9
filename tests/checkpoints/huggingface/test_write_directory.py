"""Directories that are written: transformers loads them, they are read back, and nothing half-written is left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from safetensors import safe_open

from honed.checkpoints.huggingface.write_directory import stored_tensors, write_directory
from honed.checkpoints.open import open_checkpoint
from honed.errors import ArtifactError, HonedError
from honed.models.registry import read_any
from tiny_encoders import golden_encoder
from tiny_models import golden

Weights = dict[str, NDArray[np.float32]]


def weights_of(directory: Path) -> tuple[dict[str, Any], Weights]:
    checkpoint = open_checkpoint(str(directory))
    model = read_any(checkpoint.config, checkpoint.path)
    return dict(checkpoint.config), {name: checkpoint.weight(name).decode() for name in model.weights()}


@pytest.mark.parametrize("family", ["bert_classes", "distilbert_tags", "xlm_roberta_tags", "modernbert_classes"])
def test_transformers_loads_an_encoder_with_its_head(family: str, tmp_path: Path) -> None:
    made = golden_encoder(family)
    config, weights = weights_of(made.directory)
    write_directory(tmp_path / "out", config, weights, {"note.txt": b"beside"})
    assert (tmp_path / "out/note.txt").read_bytes() == b"beside"
    cls = getattr(transformers, config["architectures"][0])
    model, said = cls.from_pretrained(tmp_path / "out", output_loading_info=True, dtype=torch.float32)
    assert not said["missing_keys"]
    assert not said["unexpected_keys"]
    text = made.texts[2]
    given = {} if model.config.model_type in ("distilbert", "modernbert") else {"token_type_ids": _ids(text.types)}
    with torch.inference_mode():
        found = model.eval()(_ids(text.tokens), **given).logits[0].numpy()
    assert text.logits is not None
    np.testing.assert_allclose(found, text.logits, atol=2e-4)


def _ids(values: NDArray[np.int32]) -> torch.Tensor:
    return torch.from_numpy(values).long()[None]


@pytest.mark.parametrize("family", ["smollm2", "gpt2", "gpt_neox", "gemma2", "phi3"])
def test_tensors_lie_as_those_of_the_family(family: str) -> None:
    """Transposed, several in one, without the 1 that is added: to the bit but where something is added."""
    checkpoint = golden(family).checkpoint
    model = read_any(checkpoint.config, checkpoint.path)
    weights = {name: checkpoint.weight(name).decode() for name in model.weights()}
    found = stored_tensors(checkpoint.config, weights)
    with safe_open(checkpoint.path / "model.safetensors", "np") as there:
        for name, values in found.items():
            np.testing.assert_allclose(values, there.get_tensor(name), atol=1e-6, err_msg=name)


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    config, weights = weights_of(golden_encoder("bert_tags").directory)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    with pytest.raises(ArtifactError):
        write_directory(tmp_path / "out", config, weights, {})
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_a_weight_that_is_missing_leaves_nothing(tmp_path: Path) -> None:
    config, weights = weights_of(golden_encoder("bert_tags").directory)
    del weights["classifier.bias"]
    with pytest.raises(HonedError, match=r"classifier\.bias"):
        write_directory(tmp_path / "out", config, weights, {})
    assert not (tmp_path / "out").exists()


def test_the_config_is_that_of_transformers(tmp_path: Path) -> None:
    config, weights = weights_of(golden_encoder("bert_tags").directory)
    write_directory(tmp_path / "out", config, weights, {})
    written = json.loads((tmp_path / "out/config.json").read_text())
    assert "add_pooling_layer" not in written
    assert written["dtype"] == "float32"
    assert written["id2label"] == config["id2label"]
