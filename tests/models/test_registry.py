from __future__ import annotations

import pytest

from honed.errors import FormatError, UnsupportedError
from honed.models.registry import MODELS, read_model
from tiny_models import FAMILIES, SIZES


def test_every_registered_family_has_a_golden_model() -> None:
    assert {kind for kind, _ in FAMILIES.values()} == set(MODELS)


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_type_leads_to_its_model(kind: str) -> None:
    model = read_model({**SIZES, "model_type": kind})
    assert type(model).__name__.lower() == kind
    assert model.dimensions.layers == 2


def test_an_unknown_model_type_gets_a_suggestion() -> None:
    with pytest.raises(UnsupportedError, match=r"config.json: model_type 'qwen_3' .*did you mean 'qwen3'"):
        read_model({**SIZES, "model_type": "qwen_3"}, "config.json")
    with pytest.raises(UnsupportedError, match="supported are llama, mistral, qwen2, qwen3"):
        read_model({**SIZES, "model_type": "zzz"})
    with pytest.raises(FormatError, match="model_type: is missing"):
        read_model(SIZES)
