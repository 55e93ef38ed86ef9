"""Shares, patterns and overrides, and what is answered to those that contradict each other."""

from __future__ import annotations

from typing import Any

import pytest

from honed.compress.pruning_settings import PruningSettings
from honed.compress.recipe import read_recipe
from honed.errors import ParameterError


def settings(**given: Any) -> PruningSettings:
    (found,) = read_recipe({"passes": [{"pass": "wanda", **given}]}).passes
    assert isinstance(found, PruningSettings)
    return found


def test_a_half_unless_said_otherwise() -> None:
    assert settings().share_of("model.layers.0.mlp.up_proj", head=False) == 0.5
    assert settings(share=0.25).share_of("any", head=False) == 0.25
    assert settings(pattern="1:4").share_of("any", head=False) == 0.75
    assert settings(pattern="2:4", share=0.5).run == (2, 4)
    assert settings().run is None


def test_the_head_is_left_alone_unless_it_is_named_and_the_first_override_wins() -> None:
    assert settings().share_of("lm_head", head=True) == 0
    found = settings(overrides=[{"modules": "lm_head", "share": 0.25}, {"modules": "*", "share": 0.0}])
    assert found.share_of("lm_head", head=True) == 0.25
    assert found.share_of("model.layers.0.mlp.up_proj", head=False) == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"share": 0.0}, "share = 0.0"),
        ({"share": 1.0}, "share = 1.0"),
        ({"pattern": "two of four"}, "pattern"),
        ({"pattern": "4:4"}, "pattern 4:4: must leave fewer than it counts, of 32 at most"),
        ({"pattern": "2:64"}, "of 32 at most"),
        ({"pattern": "0:4"}, "pattern"),
        ({"pattern": "2:4", "share": 0.6}, "share 0.6: the pattern 2:4 makes 0.5 zero"),
        ({"pattern": "2:4", "overrides": [{"modules": "x", "share": 0.25}]}, "share 0.25: the pattern 2:4"),
        ({"overrides": [{"modules": "x", "share": 1.0}]}, r"overrides\[0\]\.share = 1.0"),
        ({"overrides": [{"modules": "", "share": 0.5}]}, r"overrides\[0\]\.modules"),
        ({"paterns": "2:4"}, "did you mean 'pattern'"),
    ],
)
def test_a_mistake_is_named(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        settings(**given)
