"""From a model and the formats of its weights to a verified plan, with every stage kept for reading."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from honed.models.base import DecoderModel
from honed.plan.buffers import share_stretches
from honed.plan.formats import Format
from honed.plan.fuse import FUSIONS, fuse
from honed.plan.graph import Graph
from honed.plan.legalize import legalize
from honed.plan.lower import lower
from honed.plan.lowered import LoweredPlan
from honed.plan.record import record
from honed.plan.verify import verify_fused, verify_graph, verify_layout


@dataclass(frozen=True)
class Stages:
    recorded: Graph
    fused: Graph
    plan: LoweredPlan


def build_plan(model: DecoderModel, formats: Mapping[str, Format], fusions: Iterable[str] = tuple(FUSIONS)) -> Stages:
    """Records, fuses, lowers and lays out, verifying after each step (PlanError)."""
    recorded = record(model)
    verify_graph(recorded)
    fused = fuse(legalize(recorded, formats), formats, fusions)
    verify_fused(fused, formats)
    plan = share_stretches(lower(fused, formats))
    verify_layout(plan)
    return Stages(recorded, fused, plan)
