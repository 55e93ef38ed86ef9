"""Which tensors a file has, and in which types."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from honed.checkpoints.gguf.tensor_plan import PlannedTensor, TensorType, plan_tensors
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense, DenseType
from honed.encodings.int8 import Int8
from honed.encodings.tied_table import TiedTable
from honed.errors import UnsupportedError
from honed.models.registry import FAMILIES, read_model
from honed.models.samples import sample_configs
from honed.ops.values import Weight


def plan(model_type: str, weight: Callable[[Weight], Encoded], asked: TensorType = "auto") -> dict[str, PlannedTensor]:
    config = sample_configs(FAMILIES[model_type])[0]
    model = read_model(config)
    weights = model.weights()
    planned = plan_tensors(FAMILIES[model_type], config, model, lambda name: weight(weights[name]), asked)
    return {one.written.name: one for one in planned}


def dense(dtype: DenseType) -> Callable[[Weight], Encoded]:
    storage = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}[dtype]
    return lambda weight: Dense(np.zeros(weight.shape, storage), dtype)


def int8(weight: Weight) -> Encoded:
    if len(weight.shape) == 1:
        return dense("bfloat16")(weight)
    rows, width = weight.shape
    return Int8(np.zeros((rows, width), np.int8), np.ones((rows, -(-width // 32)), np.float16), 32)


def types(found: dict[str, PlannedTensor]) -> dict[str, str]:
    return {name: one.written.format.name for name, one in found.items()}


@pytest.mark.parametrize(("dtype", "name"), [("float32", "F32"), ("float16", "F16"), ("bfloat16", "BF16")])
def test_auto_keeps_floats(dtype: DenseType, name: str) -> None:
    found = types(plan("llama", dense(dtype)))
    assert {found["token_embd.weight"], found["blk.1.attn_k.weight"], found["output.weight"]} == {name}
    assert {found["output_norm.weight"], found["blk.0.ffn_norm.weight"]} == {"F32"}


def test_codes_are_kept_unless_another_type_is_asked_for() -> None:
    for asked, kept in (("auto", True), ("Q8_0", True), ("Q4_0", False), ("F16", False)):
        up = plan("llama", int8, asked)["blk.0.ffn_up.weight"]  # type: ignore[arg-type]
        assert up.kept is kept
        assert up.written.format.name == ("Q8_0" if asked == "auto" else asked)


def test_experts_are_stacked_and_routers_stay_float32() -> None:
    found = plan("qwen3_moe", int8)
    experts = found["blk.0.ffn_gate_exps.weight"]
    assert len(experts.written.shape) == 3 and len(experts.pieces) == experts.written.shape[0]
    assert experts.kept and experts.written.format.name == "Q8_0"
    assert found["blk.0.ffn_gate_inp.weight"].written.format.name == "F32"


def test_rows_of_rotated_heads_are_interleaved_where_files_have_them_so() -> None:
    llama, qwen = plan("llama", int8), plan("qwen2", int8)
    assert (llama["blk.0.attn_q.weight"].heads, llama["blk.0.attn_k.weight"].heads) == (4, 2)
    assert llama["blk.0.attn_v.weight"].heads is qwen["blk.0.attn_q.weight"].heads is None


@pytest.mark.parametrize(("scale", "name"), [(1.0, "F16"), (4096.0, "BF16")])
def test_a_table_smoothed_apart_from_its_head_is_float16_where_it_fits(scale: float, name: str) -> None:
    def weight(own: Weight) -> Encoded:
        found = int8(own)
        if own.name != "model.embed_tokens.weight":
            return found
        assert isinstance(found, Int8)
        full = Int8(np.full_like(found.codes, 127), found.scales, found.group)
        return TiedTable(full, np.full(own.shape[1], scale, np.float32))

    assert plan("llama", weight)["token_embd.weight"].written.format.name == name


def test_a_weight_that_no_file_has_is_named() -> None:
    family = FAMILIES["llama"]
    config = {**sample_configs(FAMILIES["qwen3"])[0]}
    with pytest.raises(UnsupportedError, match=r"self_attn\.q_norm"):
        plan_tensors(
            family, config, read_model(config), lambda name: Dense(np.zeros((2, 2), np.float32), "float32"), "auto"
        )
