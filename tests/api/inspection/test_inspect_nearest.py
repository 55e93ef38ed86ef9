"""Which family tensors are like, and in what they differ."""

from __future__ import annotations

import pytest

from honed.api.inspection.nearest import nearest, nearest_gguf
from honed.models.registry import FAMILIES
from inspected_models import sample, zeros

ALIKE = {"smollm3": "llama", "granite": "llama", "mistral": "llama", "roberta": "bert", "xlm-roberta": "bert"}
"""Families whose tensors are named as those of another one that comes first."""


@pytest.mark.parametrize("model_type", ["llama", "smollm3", "qwen2", "qwen3", "gemma3_text", "mixtral", "opt", "bert"])
def test_a_family_is_nearest_to_itself(model_type: str) -> None:
    config = sample(model_type)
    family = FAMILIES[model_type]
    model = family.read(config, "a test")
    forms = family.stored(model) if family.stored is not None else {}
    names = [forms[name].tensor.name if name in forms else name for name in model.weights()]
    found = nearest(names)
    assert found is not None
    assert found.family.model_type == ALIKE.get(model_type, model_type)
    assert (found.not_known, found.lacking) == ({}, ())


def test_what_differs_is_counted() -> None:
    names = [*zeros(sample("llama")), "model.layers.0.extra.weight", "model.layers.1.extra.weight"]
    found = nearest([name for name in names if "up_proj" not in name])
    assert found is not None
    assert found.not_known == {"model.layers.N.extra.weight": 2}
    assert found.lacking == ("model.layers.N.mlp.up_proj.weight",)


def test_nothing_is_near_to_something_else() -> None:
    assert nearest(["down_blocks.0.weight", "mid_block.weight"]) is None
    assert nearest_gguf(["a.encoder.weight"]) is None
