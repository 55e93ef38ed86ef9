"""Memory grows with what is held: tokens, the widest input of a pass that asks for Gram matrices, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np

from honed.compress.memory_needed import MemoryNeeded, memory_needed
from honed.compress.recipe import read_recipe
from honed.encodings.int4 import Int4Scheme
from honed.models.registry import read_model
from tiny_models import SIZES

UP = "model.layers.0.mlp.up_proj.weight"


def needed(recipe: str, tokens: int, **changes: Any) -> MemoryNeeded:
    model = read_model({**SIZES, "model_type": "llama", "hidden_size": 64, "tie_word_embeddings": False, **changes})
    schemes = {name: Int4Scheme(32, "symmetric", 32) for name in model.weights() if "_proj" in name}
    return memory_needed(model, read_recipe(recipe), schemes, tokens=tokens)


def test_without_calibration_it_is_the_largest_weight() -> None:
    assert needed("int4-zero-point", 0) == MemoryNeeded(16 * 97 * 64, 0, 0, 0)
    assert needed("int4-zero-point", 0, intermediate_size=320) == MemoryNeeded(16 * 320 * 64, 0, 0, 0)


def test_activations_grow_with_tokens_and_not_with_layers() -> None:
    one, two = needed("int8", 4096), needed("int8", 8192)
    assert two.activations == 2 * one.activations
    # Residual stream before and behind a block, and all values inside of one.
    assert one.activations >= 4 * 4096 * (2 * 64 + 3 * 88)
    deeper = needed("int8", 4096, num_hidden_layers=9)
    assert (deeper.activations, deeper.blocks, deeper.statistics) == (one.activations, one.blocks, one.statistics)
    # Behind so many rows at once only what is kept between blocks grows.
    many, more = needed("int8", 16384), needed("int8", 32768)
    assert (more.activations - many.activations) // 16384 <= 4 * 4 * 64


def test_gram_matrices_are_those_of_one_block_and_of_the_widest_input() -> None:
    found = needed("int4-gptq", 4096, num_hidden_layers=6)
    # gate and up have one input, down another.
    assert found.statistics == 8 * (2 * (64**2 + 88**2) + 5 * 88**2)
    assert needed("int8", 4096).statistics == 0
    assert found.made == 6 * needed("int4-gptq", 4096, num_hidden_layers=1).made > 0
    assert needed("int8", 4096).made == 0
    assert found.total > found.blocks + found.activations + found.statistics + found.made


def trained(tokens: int = 4096, **settings: Any) -> MemoryNeeded:
    distill = {"pass": "distill", "steps": 1, "together": 2, **settings}
    model = read_model({**SIZES, "model_type": "llama", "hidden_size": 64, "tie_word_embeddings": False})
    recipe = read_recipe({"passes": [distill], "calibration": {"text": "sampled", "window": 32}})
    return memory_needed(model, recipe, {}, tokens=tokens)


def test_training_holds_weights_eight_times_and_what_goes_back_through_the_layers() -> None:
    full, low_rank = trained(), trained(train={"method": "lora"})
    model = read_model({**SIZES, "model_type": "llama", "hidden_size": 64, "tie_word_embeddings": False})
    values = sum(int(np.prod(weight.shape)) for weight in model.weights().values())
    assert full.training > 4 * 8 * values
    assert full.training - low_rank.training == 4 * 4 * (values - values // 8)
    assert trained(together=4).training > full.training > trained(checkpointing=True).training
    assert full.total >= full.training
    assert needed("int8", 4096).training == 0
