"""What a model takes, against what the engine has once the model is loaded."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest

import honed
from gguf_builder import write_model
from honed.api.inspection.needs import Shapes, needs, needs_without_weights
from honed.backends.native import NativeBackend
from honed.backends.native_config import NativeConfig
from honed.checkpoints.open import open_checkpoint
from honed.models.registry import read_model
from inspected_models import LLAMA, sample


def of_engine(source: str) -> tuple[int, int]:
    """Bytes of the weights of a loaded model, and those that were told."""
    checkpoint = open_checkpoint(source)
    backend = NativeBackend.load(checkpoint, NativeConfig(kv_tokens=32, keep_packed=False))
    return backend.weight_bytes, needs(read_model(checkpoint.config), checkpoint).weights


@pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0", "Q4_0"])
def test_weights_take_what_they_take_once_packed(kind: str, tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf", kind=gguf.GGMLQuantizationType[kind])
    loaded, told = of_engine(str(path))
    assert told == loaded


@pytest.mark.parametrize("recipe", ["int8", "int4", "nf4"])
def test_artifacts_take_what_they_take_once_packed(recipe: str, tiny_llama: Path, tmp_path: Path) -> None:
    honed.compress(tiny_llama, recipe, out=tmp_path / "out")
    loaded, told = of_engine(str(tmp_path / "out"))
    assert told == loaded


def test_the_cache_of_a_position_is_that_of_all_layers() -> None:
    model = read_model({**LLAMA, "max_position_embeddings": 4096})
    found = needs_without_weights(model, "float32")
    assert found is not None
    assert found.kv_thousand == 1024 * 2 * 2 * 2 * 16 * 4
    assert found.kv_full == 4 * found.kv_thousand
    halves = needs(model, Shapes(model.weights(), "bfloat16"))
    assert halves.kv_thousand == found.kv_thousand // 2
    assert halves.weights < found.weights


def test_where_no_layer_sees_further_the_cache_ends() -> None:
    config = {**sample("mistral"), "sliding_window": 64, "max_position_embeddings": 4096}
    found = needs_without_weights(read_model(config), "bfloat16")
    assert found is not None
    assert found.window == 64
    assert found.kv_full * 1024 == found.kv_thousand * 96


def test_a_model_of_too_many_layers_is_not_planned() -> None:
    assert needs_without_weights(read_model({**LLAMA, "num_hidden_layers": 600}), "bfloat16") is None
