"""Gemma 2: logits of the torch reference against transformers, and what its configs may leave out."""

from __future__ import annotations

from typing import Any

import pytest

from honed.errors import FormatError, HonedError, UnsupportedError
from honed.models.gemma2 import Gemma2
from honed.models.recorded import recorded
from honed.models.registry import read_model
from honed.ops.table import Attention, Scale
from tiny_models import SIZES, golden, reference_by_steps, reference_whole

FAMILIES = ["gemma2", "gemma2_plain"]
CONFIG: dict[str, Any] = {**SIZES, "model_type": "gemma2", "head_dim": 12, "num_hidden_layers": 4}


def read(**changed: Any) -> Gemma2:
    model = read_model({**CONFIG, **changed})
    assert isinstance(model, Gemma2)
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_prefill_equals_transformers(family: str) -> None:
    made = golden(family)
    assert made.agrees(reference_whole(made))


@pytest.mark.parametrize("family", FAMILIES)
def test_steps_equal_transformers(family: str) -> None:
    made = golden(family)
    assert made.agrees(reference_by_steps(made))


def test_what_a_config_leaves_out() -> None:
    model = read()
    assert model.windows == (4096, None, 4096, None)
    assert (model.score_cap, model.logit_cap, model.score_scale) == (50.0, 30.0, 1 / 16)
    assert model.config.tied
    assert model.config.activation == "gelu_tanh"
    assert read(head_dim=None).dimensions.head_dim == 256


def test_null_caps_nothing() -> None:
    model = read(attn_logit_softcapping=None, final_logit_softcapping=None)
    graph = recorded(model)
    assert {attention.spec.soft_cap for attention in graph.operations(Attention)} == {None}
    assert len(list(graph.operations(Scale))) == 1  # that of the embedding
    assert len(list(recorded(read()).operations(Scale))) == 3


@pytest.mark.parametrize(
    ("changed", "kind", "says"),
    [
        ({"attn_logit_softcapping": 0.0}, FormatError, "attn_logit_softcapping: is 0.0, but must be a number over 0"),
        ({"query_pre_attn_scalar": -1}, FormatError, "query_pre_attn_scalar: is -1, but must be a number over 0"),
        ({"sliding_window": 0}, FormatError, "sliding_window: is 0, but must be an integer from 1"),
        ({"layer_types": ["full_attention"]}, FormatError, "must be a list of num_hidden_layers 4 names"),
        ({"layer_types": ["chunked_attention"] * 4}, UnsupportedError, "layer_types 'chunked_attention' is not"),
        ({"hidden_activation": "relu"}, UnsupportedError, "hidden_activation 'relu' is not supported"),
        ({"use_bidirectional_attention": True}, UnsupportedError, "use_bidirectional_attention is true"),
        ({"logit_scale": 0.5}, UnsupportedError, "logit_scale is 0.5, which a gemma2 does not have"),
    ],
)
def test_what_is_refused(changed: dict[str, Any], kind: type[HonedError], says: str) -> None:
    with pytest.raises(kind, match=says):
        read(**changed)
