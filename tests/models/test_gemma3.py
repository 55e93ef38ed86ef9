"""Gemma 3: logits of the torch reference against transformers, and both forms in which configs state rotations."""

from __future__ import annotations

from typing import Any

import pytest

from honed.errors import FormatError, HonedError, UnsupportedError
from honed.models.gemma3 import Gemma3
from honed.models.recorded import recorded
from honed.models.registry import read_model
from honed.ops.table import Attention, Rope
from tiny_models import BY_LAYER, SIZES, golden, reference_by_steps, reference_whole

FAMILIES = ["gemma3", "gemma3_capped"]
CONFIG: dict[str, Any] = {**SIZES, "model_type": "gemma3_text", "head_dim": 20, "num_hidden_layers": 7}
BOTH: dict[str, Any] = BY_LAYER["rope_parameters"]


def read(**changed: Any) -> Gemma3:
    model = read_model({**CONFIG, **changed})
    assert isinstance(model, Gemma3)
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
    assert model.windows == (4096,) * 5 + (None, 4096)
    assert (model.rotary, model.sliding_rotary) == (read(rope_theta=1e6).rotary, read(rope_theta=1e4).sliding_rotary)
    assert model.rotary.inverse_frequencies[1] < model.sliding_rotary.inverse_frequencies[1]
    assert (model.logit_cap, model.score_scale) == (None, 1 / 16)
    assert model.config.tied


def test_a_layer_turns_by_the_base_of_its_kind() -> None:
    model = read(sliding_window_pattern=3, sliding_window=9)
    graph = recorded(model)
    behind = [attention.spec.before for attention in graph.operations(Attention)]
    assert behind == [8, 8, None, 8, 8, None, 8]
    rotaries = [rope.rotary for rope in graph.operations(Rope)]
    assert rotaries[::2] == rotaries[1::2]  # q and k
    assert rotaries[::2] == [model.sliding_rotary if before == 8 else model.rotary for before in behind]


def test_both_forms_of_the_rotations_mean_the_same() -> None:
    older = {"rope_theta": 500.0, "rope_local_base_freq": 30.0, "rope_scaling": {"rope_type": "linear", "factor": 8.0}}
    assert read(**older) == read(rope_parameters=BOTH)
    # As transformers reads a config that has both.
    mixed = {
        "rope_parameters": {**BOTH, "full_attention": {"rope_theta": 500.0}},
        "rope_scaling": older["rope_scaling"],
    }
    assert read(**mixed) == read(rope_parameters=BOTH)


def test_one_kind_of_layer_may_be_left_out() -> None:
    kept = {"full_attention": BOTH["full_attention"]}
    assert read(rope_parameters=kept) == read(rope_parameters=BOTH | {"sliding_attention": {"rope_theta": 1e4}})


@pytest.mark.parametrize(
    ("changed", "kind", "says"),
    [
        ({"rope_local_base_freq": 0}, FormatError, "rope_local_base_freq: is 0, but must be a number over"),
        ({"rope_parameters": {"full_attention": 3}}, FormatError, "rope_parameters.full_attention: is 3, but must be"),
        (
            {"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": "a"}}},
            FormatError,
            "rope_parameters.full_attention.factor: is 'a', but must be a number",
        ),
        (
            {"rope_scaling": {"rope_type": "spiral"}},
            UnsupportedError,
            "rope_scaling.rope_type 'spiral' is not supported",
        ),
        ({"rope_parameters": {"rope_type": "default"}}, UnsupportedError, "rope_parameters: has no full_attention"),
        ({"sliding_window_pattern": 0}, FormatError, "sliding_window_pattern: is 0, but must be an integer from 1"),
        ({"attn_logit_softcapping": 50.0}, UnsupportedError, "attn_logit_softcapping is 50.0, which a gemma3_text"),
        ({"use_bidirectional_attention": True}, UnsupportedError, "use_bidirectional_attention is true"),
    ],
)
def test_what_is_refused(changed: dict[str, Any], kind: type[HonedError], says: str) -> None:
    with pytest.raises(kind, match=says):
        read(**changed)
