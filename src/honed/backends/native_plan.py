"""Lowered plans as the extension takes them. Not here: what runs them (`native.py`, `native_encoder.py`)."""

from __future__ import annotations

from honed.native import extension
from honed.plan.lowered import LoweredPlan, PlanFloats, PlanIds, PlanInput


def native_plan(plan: LoweredPlan, weights: list[extension.Weight]) -> extension.Plan:
    """A lowered plan handed to the extension, which validates it (ValueError)."""
    return extension.Plan(
        ops=[(op.name, op.fields()) for op in plan.ops],
        slots=[
            extension.Slot(
                "routing" if slot.experts else "quantized" if slot.quantized else "f32",
                slot.rows,
                slot.width,
                slot.activation_group,
                slot.stretch,
                slot.copies,
                slot.experts,
            )
            for slot in plan.slots
        ],
        weights=weights,
        inputs=[_input(each) for each in plan.inputs],
        outputs=[(each.name, each.slot) for each in plan.outputs],
        caches=cache_shapes(plan),
    )


def cache_shapes(plan: LoweredPlan) -> list[tuple[int, int, int]]:
    """The caches of a plan as the extension takes them."""
    return [(cache.kv_heads, cache.key_width, cache.value_width) for cache in plan.caches]


def _input(each: PlanInput) -> extension.Input:
    match each:
        case PlanIds(name=name, bound=bound):
            return extension.Input.ids(name, bound)
        case PlanFloats(name=name, width=width):
            return extension.Input.floats(name, width)
