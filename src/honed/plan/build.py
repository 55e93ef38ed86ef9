"""From a model and its weights to a verified plan, with every stage kept for reading."""

from __future__ import annotations

from collections.abc import Iterable

from honed.models.base import DecoderModel
from honed.plan.buffers import share_stretches
from honed.plan.formats import DensePolicy
from honed.plan.fuse import FUSIONS, fuse
from honed.plan.graph import Graph
from honed.plan.legalize import legalize
from honed.plan.lower import lower
from honed.plan.lowered import LoweredPlan
from honed.plan.record import record
from honed.plan.source import NamedWeights, PlanSource
from honed.plan.verify import verify_fused, verify_graph, verify_layout
from honed.records import dataclass

ALL_FUSIONS = tuple(FUSIONS)


@dataclass(frozen=True)
class Stages:
    """The stages of one plan, and where its weights come from."""

    recorded: Graph
    fused: Graph
    plan: LoweredPlan
    source: PlanSource


def build_plan(
    model: DecoderModel, weights: NamedWeights, policy: DensePolicy, fusions: Iterable[str] = ALL_FUSIONS
) -> Stages:
    """Records, fuses, lowers and lays out, verifying after each step (PlanError). Reads no values of weights."""
    recorded = record(model)
    verify_graph(recorded)
    source = PlanSource(weights, recorded)
    formats = source.formats(policy)
    fused = fuse(legalize(recorded, formats), formats, fusions)
    verify_fused(fused, formats)
    plan = share_stretches(lower(fused, formats))
    verify_layout(plan)
    return Stages(recorded, fused, plan, source)
