"""Every built-in recipe says what it does."""

from __future__ import annotations

from honed.compress.builtin_recipes import DESCRIPTIONS, RECIPES


def test_every_recipe_has_one_line() -> None:
    assert DESCRIPTIONS.keys() == RECIPES.keys()
    for text in DESCRIPTIONS.values():
        assert 20 < len(text) <= 110
        assert "\n" not in text
        assert not text.endswith(".")
