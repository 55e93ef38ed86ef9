"""Every pass that a recipe may name is found by its settings, and has a name of its own."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from honed.compress import pipeline
from honed.compress.base import ModelState
from honed.compress.recipe import PASS_NAMES, read_recipe
from honed.compress.registry import PASSES, make_pass, pass_name
from honed.compress.weights import SourceWeights
from tiny_encoder import RandomWeights, TinyEncoder

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to-add-pass.md"


def test_each_pass_has_a_name_of_its_own() -> None:
    names = [pass_name(settings) for settings in PASSES]
    assert tuple(names) == PASS_NAMES == tuple(sorted(set(names)))


def test_settings_of_a_recipe_make_their_pass() -> None:
    recipe = read_recipe("int8")
    for settings in recipe.passes:
        made = make_pass(settings)
        assert made.settings is settings
        assert isinstance(made, PASSES[type(settings)])  # type: ignore[arg-type]
    assert recipe.calibrates
    assert not read_recipe("int4-zero-point").calibrates


def test_the_pass_of_the_how_to_does_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    (source, line) = re.findall(r"```python\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    module = ModuleType("wanda")
    monkeypatch.setitem(sys.modules, "wanda", module)
    exec(source, module.__dict__)
    assert line.strip() == "WandaSettings: Wanda,"
    pruning = module.Wanda(module.WandaSettings.model_validate({"pass": "wanda", "share": 0.25}))
    rounding = make_pass(read_recipe("int8").passes[-1])
    model = TinyEncoder()
    source_weights = SourceWeights(model, RandomWeights(model).weight)
    passes = iter([pruning, rounding])
    monkeypatch.setattr(pipeline, "make_pass", lambda settings: next(passes))
    given, recipe = ModelState({}, model, source_weights), read_recipe("int4")
    done = pipeline.run_recipe(given, recipe, threads=1, calibration=[list(range(12))])
    name = "0.down.weight"
    assert ((done.in_full(name).decode() == 0).sum(axis=1) == round(0.25 * 50)).all()
    assert (done.state.weights[name].decode() == 0).mean() >= 0.24
    assert not np.any(source_weights[name].decode() == 0)
