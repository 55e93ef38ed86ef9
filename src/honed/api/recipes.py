"""The built-in recipes for whoever chooses one: what each does, and what it did to the demo model.

What they did was measured by `honed bench-recipes` and lies beside this file. Not here: the recipes themselves
(`compress/builtin_recipes.py`), and measuring (`bench_recipes.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from honed.checkpoints.yaml_files import to_yaml
from honed.compress.builtin_recipes import DESCRIPTIONS, RECIPES
from honed.compress.recipe import read_recipe

MEASURED = Path(__file__).with_name("measured_recipes.json")


@dataclass(frozen=True)
class Measured:
    """What a recipe did to a model: the bytes of the weights and of its source's, mean KL divergence with its interval,
    and how many times as fast as the source in bfloat16 it is."""

    model: str
    bytes: int
    source_bytes: int
    bits_per_weight: float
    kl: float
    kl_low: float
    kl_high: float
    decode: float
    prefill: float


@dataclass(frozen=True)
class RecipeSummary:
    """bits: of the layers' codes, None where they stay dense. measured: None where nobody has."""

    name: str
    description: str
    passes: tuple[str, ...]
    bits: int | None
    measured: Measured | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def list_recipes(results: Path = MEASURED) -> tuple[RecipeSummary, ...]:
    """All built-in recipes in their order."""
    measured = _measured(results)
    return tuple(_summary(name, measured.get(name)) for name in RECIPES)


def recipe_text(name: str) -> str:
    """A recipe as YAML, every setting written out, to be saved, edited and given to `compress`.

    ParameterError as of `read_recipe`, which it reads like any other.
    """
    about = f"# {name}: {DESCRIPTIONS[name]}\n" if name in DESCRIPTIONS else ""
    found = read_recipe(name).as_json()
    # First which pass it is, then its settings.
    passes = [{"pass": step["pass"], **step} for step in found["passes"]]
    return about + to_yaml({**found, "passes": passes})


def _summary(name: str, measured: Measured | None) -> RecipeSummary:
    recipe = read_recipe(name)
    bits = None if recipe.encoding is None else recipe.encoding.weights.bits
    return RecipeSummary(name, DESCRIPTIONS.get(name, ""), tuple(step.kind for step in recipe.passes), bits, measured)


def _measured(path: Path) -> Mapping[str, Measured]:
    if not path.is_file():
        return {}
    rows: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return {name: Measured(**row) for name, row in rows.items()}
