"""A recipe in a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from fuzzing.json_mutations import mutate_json
from fuzzing.target import Target
from honed.compress.recipe import read_recipe

_MODULES = ("model.layers.0.mlp.down_proj", "model.layers.12.self_attn.q_proj", "lm_head", "")


def read(data: bytes, folder: Path) -> None:
    path = folder / "recipe.json"
    path.write_bytes(data)
    recipe = read_recipe(path)
    for module in _MODULES:
        recipe.encodes(module)
    recipe.as_json()


def seeds() -> Sequence[bytes]:
    return [json.dumps(read_recipe(name).as_json()).encode() for name in ("int8", "int4", "nf4")]


TARGET = Target("recipe", read, seeds, mutate_json)
