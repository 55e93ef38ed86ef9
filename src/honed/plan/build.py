"""From a recorded graph and its weights to a verified plan, with every stage kept for reading."""

from __future__ import annotations

from collections.abc import Iterable

from honed.models.base import DecoderModel
from honed.models.recorded import recorded
from honed.ops.graph import Graph
from honed.plan.buffers import share_stretches
from honed.plan.formats import DensePolicy
from honed.plan.fuse import FUSIONS, fuse
from honed.plan.legalize import legalize
from honed.plan.lower import lower
from honed.plan.lowered import LoweredPlan
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
    """The plan of a decoder's step; see `plan_graph`."""
    return plan_graph(recorded(model), weights, policy, fusions)


def plan_graph(
    graph: Graph, weights: NamedWeights, policy: DensePolicy, fusions: Iterable[str] = ALL_FUSIONS
) -> Stages:
    """Fuses, lowers and lays out a recorded graph that gives what is asked for and nothing else, verifying after each
    step (PlanError). Reads no values of weights."""
    verify_graph(graph)
    source = PlanSource(weights, graph)
    formats = source.formats(policy)
    fused = fuse(legalize(graph, formats), formats, fusions)
    verify_fused(fused, formats)
    plan = share_stretches(lower(fused, formats, source.tied_tables(formats)))
    verify_layout(plan)
    return Stages(graph, fused, plan, source)
