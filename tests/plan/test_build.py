from __future__ import annotations

import pytest

from honed.models.registry import read_model
from honed.plan.build import build_plan
from honed.plan.formats import DenseFormat, DensePolicy
from honed.plan.lowered import MatrixWeight
from tiny_models import golden


@pytest.mark.parametrize("policy", ["auto", "float32", "bfloat16"])
def test_the_policy_decides_the_type_of_dense_matrices(policy: DensePolicy) -> None:
    checkpoint = golden("llama2").checkpoint
    stages = build_plan(read_model(checkpoint.config), checkpoint, policy)
    formats = {weight.format for weight in stages.plan.weights if isinstance(weight, MatrixWeight)}
    assert formats == {DenseFormat("bfloat16" if policy == "bfloat16" else "float32")}


def test_every_stage_is_kept() -> None:
    checkpoint = golden("llama2").checkpoint
    model = read_model(checkpoint.config)
    fused = build_plan(model, checkpoint, "auto")
    plain = build_plan(model, checkpoint, "auto", ())
    assert fused.recorded == plain.recorded
    assert len(fused.fused.statements) < len(plain.fused.statements) < len(plain.recorded.statements) + 5
    assert len(fused.plan.ops) < len(plain.plan.ops)
