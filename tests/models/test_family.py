"""What each family says of itself, against transformers, and against the weights of its own models."""

from __future__ import annotations

import re
from typing import Any

import pytest

from honed.checkpoints.gguf.names import huggingface_name
from honed.models.registry import DECODERS, ENCODERS, FAMILIES, family_of
from tiny_encoders import DISTIL_SIZES
from tiny_encoders import SIZES as ENCODER_SIZES
from tiny_models import FAMILIES as TINY
from tiny_models import tiny_config

CONFIGS: dict[str, dict[str, Any]] = {kind: {**ENCODER_SIZES, "model_type": kind} for kind in ENCODERS}
CONFIGS |= {kind: tiny_config(next(name for name, (own, _) in TINY.items() if own == kind)) for kind in DECODERS}
CONFIGS["distilbert"] = {**DISTIL_SIZES, "model_type": "distilbert"}


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_class_is_that_of_transformers(kind: str) -> None:
    import transformers

    assert getattr(transformers, FAMILIES[kind].class_name).config_class.model_type == kind


@pytest.mark.parametrize("kind", FAMILIES)
def test_layers_are_named_and_counted_as_it_says(kind: str) -> None:
    family, config = FAMILIES[kind], CONFIGS[kind]
    assert family_of(config) is family
    prefix = re.escape(family.layer_prefix)
    layers = {match[1] for name in family.read(config, "c").weights() if (match := re.match(rf"{prefix}(\d+)\.", name))}
    assert len(layers) == config[family.layers_field]


@pytest.mark.parametrize("kind", [kind for kind in DECODERS if FAMILIES[kind].gguf is not None])
def test_gguf_files_can_spell_every_weight(kind: str) -> None:
    family = FAMILIES[kind]
    assert family.gguf is not None
    layers = [
        f"blk.{layer}.{name}.{part}"
        for layer in range(CONFIGS[kind][family.layers_field])
        for name in family.gguf.layer_tensors
        for part in ("weight", "bias")
    ]
    spelled = {huggingface_name(name, family) for name in [*family.gguf.tensors, *layers]}
    model = family.read(CONFIGS[kind], "c")
    forms = {} if family.gguf.stored is None else family.gguf.stored(model)
    assert {forms[name].tensor.name if name in forms else name for name in model.weights()} <= spelled
    assert set(family.gguf.interleaved) <= set(family.gguf.layer_tensors)
