"""Counts of a lowered plan against counts of the model's shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from honed.api.compress import compress
from honed.bench.footprint import plan_footprint, weights_label
from honed.checkpoints.open import open_checkpoint
from honed.models.registry import read_model
from honed.plan.build import build_plan
from honed.plan.lowered import LoweredPlan
from tiny_models import golden

VOCABULARY = 32
# The tiny model: width 48, 4 query and 2 key heads of 12, MLP 80, two layers.
LAYER = 48 * 48 * 2 + 2 * 48 * 24 + 3 * 48 * 80


def plan_of(path: Path, dtype: Literal["auto", "float32", "bfloat16"]) -> LoweredPlan:
    checkpoint = open_checkpoint(str(path))
    return build_plan(read_model(checkpoint.config), checkpoint, dtype).plan


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("bfloat16", 2)])
def test_dense_model(tiny_llama: Path, dtype: Literal["float32", "bfloat16"], size: int) -> None:
    plan = plan_of(tiny_llama, dtype)
    footprint = plan_footprint(plan)
    assert footprint.prompt_operations == 2 * 2 * LAYER
    assert footprint.head_operations == 2 * VOCABULARY * 48
    assert footprint.kv_bytes_per_position == 2 * 2 * 2 * 12 * size, "auto: as the weights are"
    assert plan_footprint(plan, "int8").kv_bytes_per_position == 2 * 2 * 2 * (12 + 4)
    assert footprint.arithmetic == "float32"
    assert weights_label(plan) == dtype
    exact = size * (2 * LAYER + VOCABULARY * 48)
    assert exact <= footprint.weight_bytes <= exact * 1.4, "padding to panels of 32 columns, and no more"


def test_experts_count_as_far_as_a_token_goes_through_them() -> None:
    """Granite MoE of two layers: 2 of 6 experts of 88, width 48, 4 query and 2 key heads of 12."""
    checkpoint = golden("granitemoe").checkpoint
    plan = build_plan(read_model(checkpoint.config), checkpoint, "float32").plan
    footprint = plan_footprint(plan)
    experts = 2 * 6 * 3 * 48 * 88
    others = 2 * (2 * 48 * 48 + 2 * 24 * 48 + 6 * 48)
    assert footprint.prompt_operations == 2 * (others + experts // 3)
    assert footprint.head_operations == 2 * 97 * 48
    assert footprint.expert_share == pytest.approx(1 / 3)
    assert 4 * experts <= footprint.expert_bytes <= 4 * experts * 1.4
    whole = 4 * (others + 97 * 48) + footprint.expert_bytes / 3
    assert whole <= footprint.weight_bytes <= whole * 1.4


def test_quantized_model(tiny_llama: Path, tmp_path: Path) -> None:
    compress(str(tiny_llama), "int8", out=tmp_path / "int8")
    plan = plan_of(tmp_path / "int8", "auto")
    footprint = plan_footprint(plan)
    assert footprint.prompt_operations == 2 * 2 * LAYER
    assert footprint.arithmetic == "int8"
    assert weights_label(plan).startswith("int8")
