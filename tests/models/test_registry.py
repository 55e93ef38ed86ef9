from __future__ import annotations

import pytest

from honed.errors import FormatError, UnsupportedError
from honed.models.registry import DECODERS, ENCODERS, is_encoder, read_encoder, read_model
from tiny_encoders import DISTIL_SIZES
from tiny_encoders import FAMILIES as ENCODER_FAMILIES
from tiny_encoders import SIZES as ENCODER_SIZES
from tiny_models import FAMILIES, SIZES, tiny_config


def test_every_registered_family_has_a_golden_model() -> None:
    assert {kind for kind, _ in FAMILIES.values()} == set(DECODERS)
    assert {kind for kind, *_ in ENCODER_FAMILIES.values()} == set(ENCODERS)


@pytest.mark.parametrize("kind", DECODERS)
def test_a_model_type_leads_to_its_model(kind: str) -> None:
    model = read_model(tiny_config(next(family for family, (own, _) in FAMILIES.items() if own == kind)))
    assert type(model).__name__.lower() == {"cohere2": "cohere", "glm": "glm4"}.get(
        kind, kind.removesuffix("_text").replace("_", "")
    )
    assert model.dimensions.layers >= 2


def test_an_unknown_model_type_gets_a_suggestion() -> None:
    with pytest.raises(UnsupportedError, match=r"config.json: model_type 'qwen_3' .*did you mean 'qwen3'"):
        read_model({**SIZES, "model_type": "qwen_3"}, "config.json")
    with pytest.raises(UnsupportedError, match=r"supported are bert, .*llama, mistral, .*qwen2, .*roberta"):
        read_model({**SIZES, "model_type": "zzz"})
    with pytest.raises(FormatError, match="model_type: is missing"):
        read_model(SIZES)


@pytest.mark.parametrize("kind", ENCODERS)
def test_a_model_type_leads_to_its_encoder(kind: str) -> None:
    config = {**(DISTIL_SIZES if kind == "distilbert" else ENCODER_SIZES), "model_type": kind}
    model = read_encoder(config, "c")
    assert (model.dimensions.layers, model.width) == (2, 48)
    assert is_encoder(config)
    with pytest.raises(UnsupportedError, match=rf"c: model_type {kind} is an encoder.*honed embed runs it"):
        read_model(config, "c")


def test_what_generates_is_no_encoder() -> None:
    config = {**SIZES, "model_type": "llama"}
    assert not is_encoder(config)
    with pytest.raises(
        UnsupportedError, match=r"c: model_type llama generates text.*runs encoders \(bert, distilbert,"
    ):
        read_encoder(config, "c")


def test_fields_that_no_encoder_here_has() -> None:
    with pytest.raises(UnsupportedError, match="attn_logit_softcapping is 30, which a bert does not have"):
        read_encoder({"model_type": "bert", **ENCODER_SIZES, "attn_logit_softcapping": 30}, "c")
