"""The graphs of a model: each program recorded once, and read by all that wants to know something of the model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from honed.errors import PlanError, UnsupportedError
from honed.models.base import EncoderModel, Model
from honed.models.programs import ENCODE, STEP
from honed.ops.graph import Graph
from honed.ops.record import record
from honed.ops.values import Weight


@lru_cache(maxsize=8)
def recorded(model: Model, program: str = STEP) -> Graph:
    """The graph of a program, with all results that it offers, shapes inferred and checked (PlanError). Models are
    values: equal ones share a graph."""
    programs = model.programs()
    if program not in programs:
        raise PlanError(f"{type(model).__name__}: has no program {program}; it has {', '.join(programs)}")
    return record(programs[program])


def main_graph(model: Model) -> Graph:
    """What a model is first of all: a decoder's step, an encoder's texts with all that can be made of their rows."""
    return recorded(model, STEP if STEP in model.programs() else ENCODE)


def encoding(model: EncoderModel, result: str) -> Graph:
    """What an encoder needs for one of its results. UnsupportedError where it has none of that name."""
    graph = recorded(model, ENCODE)
    if result not in graph.outputs:
        raise UnsupportedError(f"the weights of this model have no {result}; they give {', '.join(graph.outputs)}")
    return graph.giving(result)


def list_weights(model: Model) -> Mapping[str, Weight]:
    """Every weight that the programs of the model name, in the order of first use."""
    found: dict[str, Weight] = {}
    for program in model.programs():
        found.update(recorded(model, program).weights())
    return found
