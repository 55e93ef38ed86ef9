from __future__ import annotations

from dataclasses import replace

import pytest

from honed.plan.buffers import lives, share_stretches
from honed.plan.formats import DenseFormat
from honed.plan.fuse import FUSIONS, fuse
from honed.plan.lower import lower
from honed.plan.lowered import LoweredPlan
from honed.plan.verify import verify_layout
from plan_graphs import BY_ROW, legal
from tiny_models import FAMILIES


def lowered(family: str, *, quantized: bool, fused: bool = True) -> LoweredPlan:
    graph, formats = legal(family, default=BY_ROW if quantized else DenseFormat("float32"))
    return lower(fuse(graph, formats, FUSIONS if fused else ()), formats)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("quantized", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_few_stretches_hold_many_slots_and_verify(family: str, quantized: bool, fused: bool) -> None:
    plan = share_stretches(lowered(family, quantized=quantized, fused=fused))
    verify_layout(plan)
    assert len({slot.stretch for slot in plan.slots}) <= 6 < len(plan.slots)


def test_stretches_do_not_grow_with_the_layers() -> None:
    plan = lowered("llama2", quantized=True)
    busiest = 0
    for index in range(len(plan.ops)):
        busiest = max(busiest, sum(first <= index <= last for first, last in lives(plan).values()))
    assert len({slot.stretch for slot in share_stretches(plan).slots}) == busiest


def test_logits_are_not_overwritten() -> None:
    plan = lowered("llama2", quantized=False)
    logits = plan.output("logits")
    assert lives(plan)[logits][1] == len(plan.ops)


def test_numbers_of_slots_do_not_matter() -> None:
    plan = lowered("llama2", quantized=False)
    spread = replace(plan, slots=tuple(replace(slot, stretch=99) for slot in plan.slots))
    assert share_stretches(spread) == share_stretches(plan)
