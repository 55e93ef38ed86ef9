"""A recipe in a YAML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fuzzing.byte_mutations import mutate_bytes
from fuzzing.target import Target
from honed.api.recipes import recipe_text
from honed.compress.recipe import read_recipe


def read(data: bytes, folder: Path) -> None:
    path = folder / "recipe.yaml"
    path.write_bytes(data)
    read_recipe(path).as_json()


def seeds() -> Sequence[bytes]:
    return [recipe_text(name).encode() for name in ("int8", "int4", "nf4")]


TARGET = Target("recipe_yaml", read, seeds, mutate_bytes)
