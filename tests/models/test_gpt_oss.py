"""gpt-oss: logits of the torch reference against transformers, and what its configs say."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
import transformers.models.gpt_oss.modeling_gpt_oss

from honed.errors import FormatError, HonedError, UnsupportedError
from honed.models.gpt_oss import GptOss
from honed.models.recorded import recorded
from honed.models.registry import read_model
from honed.ops.reference import GrowingStore, Rows, Step, gated
from honed.ops.table import Attention, Gated
from tiny_models import GPT_OSS, SIZES, golden, reference_by_steps, reference_whole

FAMILIES = ["gpt_oss", "gpt_oss_yarn"]
CONFIG: dict[str, Any] = {**SIZES, **GPT_OSS, "model_type": "gpt_oss", "num_hidden_layers": 4}


def read(**changed: Any) -> GptOss:
    model = read_model({**CONFIG, **changed})
    assert isinstance(model, GptOss)
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_prefill_equals_transformers(family: str) -> None:
    made = golden(family)
    assert made.agrees(reference_whole(made))


@pytest.mark.parametrize("family", FAMILIES)
def test_steps_equal_transformers(family: str) -> None:
    made = golden(family)
    assert made.agrees(reference_by_steps(made))


def test_what_gates_an_expert_is_bounded_as_in_transformers() -> None:
    config = transformers.AutoConfig.for_model("gpt_oss", **{**SIZES, **GPT_OSS})
    with torch.device("meta"):
        experts = transformers.models.gpt_oss.modeling_gpt_oss.GptOssExperts(config)
    torch.manual_seed(3)
    gate, up = 8 * torch.randn(2, 50, 44)
    assert gate.max() > 7
    assert up.abs().max() > 7
    step = Step({}, Rows.single(torch.arange(50)), GrowingStore())
    found = gated(Gated((0, 1), "clamped_silu"), step, gate, up)
    torch.testing.assert_close(found, experts._apply_gate(torch.stack((gate, up), dim=-1).flatten(-2)))


def test_what_a_config_leaves_out() -> None:
    model = read()
    assert model.windows == (128, None, 128, None)
    assert (model.config.dimensions.head_dim, model.config.eps, model.attention_bias) == (64, 1e-5, True)
    stretched = {"rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096, "truncate": False}
    assert model == read(rope_scaling=stretched, rope_theta=150000.0)
    assert model.rotary != read(rope_scaling={**stretched, "truncate": True}).rotary
    assert model.config.dimensions.context == 131072
    assert not model.packed
    assert read(quantization_config={"quant_method": "mxfp4"}).packed


def test_every_layer_has_sinks_and_its_window() -> None:
    graph = recorded(read(sliding_window=6, layer_types=["full_attention", "sliding_attention"] * 2))
    specs = [attention.spec for attention in graph.operations(Attention)]
    assert [spec.before for spec in specs] == [None, 5, None, 5]
    assert [spec.sinks.name for spec in specs if spec.sinks] == [f"model.layers.{n}.self_attn.sinks" for n in range(4)]
    assert {gated.activation for gated in graph.operations(Gated)} == {"clamped_silu"}


@pytest.mark.parametrize(
    ("changed", "kind", "says"),
    [
        ({"swiglu_limit": 5.0}, UnsupportedError, "swiglu_limit 5.0 is not supported; supported is 7"),
        ({"swiglu_alpha": 1.0}, UnsupportedError, "swiglu_alpha 1.0 is not supported; supported is 1.702"),
        ({"hidden_act": "gelu_new"}, UnsupportedError, "hidden_act 'gelu_new' is not supported; supported is silu"),
        ({"sliding_window": None}, FormatError, "sliding_window: is None, but there are layers of sliding_attention"),
        ({"num_local_experts": 0}, FormatError, "num_local_experts: is 0, but must be an integer from 1"),
        ({"num_experts_per_tok": 6}, FormatError, "num_experts_per_tok: is 6, but must be an integer from 1 to 5"),
        ({"rope_scaling": {"rope_type": "spiral"}}, UnsupportedError, "rope_type 'spiral' is not supported"),
        ({"final_logit_softcapping": 3.0}, UnsupportedError, "which a gpt_oss does not have"),
    ],
)
def test_what_is_refused(changed: dict[str, Any], kind: type[HonedError], says: str) -> None:
    with pytest.raises(kind, match=says):
        read(**changed)
