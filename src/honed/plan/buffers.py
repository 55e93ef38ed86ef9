"""Which slots share memory: those whose lives do not meet. Interval colouring, in the order of birth.

A stretch is as large as the largest slot that it ever holds; the native arena sees to that. Here only who shares.
"""

from __future__ import annotations

from dataclasses import replace

from honed.plan.lowered import LoweredPlan, PlanSlot, reads


def lives(plan: LoweredPlan) -> dict[int, tuple[int, int]]:
    """First and last op that touches each slot. The slots of results outlive the last op."""
    found: dict[int, tuple[int, int]] = {}
    for index, op in enumerate(plan.ops):
        for slot in (*reads(op), op.output):
            first, _ = found.get(slot, (index, index))
            found[slot] = (first, index)
    for result in plan.outputs:
        if result.slot in found:
            found[result.slot] = (found[result.slot][0], len(plan.ops))
    return found


def share_stretches(plan: LoweredPlan) -> LoweredPlan:
    """The same plan with the fewest stretches that keep living slots apart, like sizes together where it can be."""
    intervals = sorted(lives(plan).items(), key=lambda item: item[1])
    stretch_of: dict[int, int] = {}
    free_from: list[int] = []  # for each stretch, the last op of the slot that holds it
    size: list[int] = []
    for slot, (first, last) in intervals:
        wanted = _row_bytes(plan.slots[slot])
        free = [stretch for stretch, busy in enumerate(free_from) if busy < first]
        if free:
            best = min(free, key=lambda stretch: (abs(size[stretch] - wanted), stretch))
            free_from[best] = last
            size[best] = max(size[best], wanted)
        else:
            best = len(free_from)
            free_from.append(last)
            size.append(wanted)
        stretch_of[slot] = best
    slots = tuple(replace(slot, stretch=stretch_of[number]) for number, slot in enumerate(plan.slots))
    return replace(plan, slots=slots)


def _row_bytes(slot: PlanSlot) -> int:
    return slot.copies * (slot.width if slot.quantized else 4 * slot.width)
