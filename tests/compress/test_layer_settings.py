"""Settings of linear layers by the names of their modules; mistakes in them are tested with recipes."""

from __future__ import annotations

import json

from honed.compress.layer_settings import EncodingSettings, Setting


def test_the_first_override_that_matches_wins() -> None:
    other = {"weights": {"bits": 4, "group": 64}}
    overrides = [
        {"modules": "model.layers.0.*", "setting": "dense"},
        {"modules": "*.down_proj", "setting": other},
        {"modules": "*.layers.1.*", "setting": "dense"},
    ]
    values = {"pass": "a", "weights": {"bits": 8, "group": 32}, "overrides": overrides}
    found = EncodingSettings.model_validate_json(json.dumps(values))
    assert found.for_module("model.layers.0.mlp.down_proj") is None
    assert found.for_module("model.layers.1.mlp.down_proj") == Setting.model_validate_json(json.dumps(other))
    assert found.for_module("model.layers.1.mlp.up_proj") is None
    assert found.for_module("model.layers.2.mlp.up_proj") == found


def test_an_override_of_a_layer_holds_for_its_factors_and_may_name_one() -> None:
    overrides = [
        {"modules": "*.factor_in", "setting": "dense"},
        {"modules": "*.down_proj", "setting": {"weights": {"bits": 4, "group": 64}}},
    ]
    values = {"pass": "a", "weights": {"bits": 8, "group": 32}, "overrides": overrides}
    found = EncodingSettings.model_validate_json(json.dumps(values))
    outer = found.for_module("model.layers.0.mlp.down_proj.factor_out")
    assert outer is not None
    assert outer == found.for_module("model.layers.0.mlp.down_proj") != found
    assert found.for_module("model.layers.0.mlp.down_proj.factor_in") is None
    assert found.for_module("model.layers.0.mlp.up_proj.factor_out") == found
