"""Every family lists samples, and they are configs of it."""

from __future__ import annotations

import pytest

from honed.models.recorded import main_graph
from honed.models.registry import FAMILIES, family_of, read_any
from honed.models.samples import SIZES, sample_configs


@pytest.mark.parametrize("model_type", FAMILIES)
def test_samples_of_a_family(model_type: str) -> None:
    family = FAMILIES[model_type]
    configs = sample_configs(family)
    assert configs
    assert family.covers
    for config in configs:
        assert family_of(config) is family
        model = read_any(config)
        assert model.dimensions.vocabulary == 97
        assert model.dimensions.layers <= 6
        assert main_graph(model).outputs


def test_variations_differ() -> None:
    models = [read_any(config) for family in FAMILIES.values() for config in sample_configs(family)]
    assert len({(type(model), model) for model in models}) >= len(FAMILIES) + 20


def test_a_size_that_a_family_has_not_is_left_out() -> None:
    assert "num_key_value_heads" not in sample_configs(FAMILIES["opt"])[0]
    assert not SIZES.keys() & sample_configs(FAMILIES["gpt2"])[0].keys() - {"vocab_size"}
