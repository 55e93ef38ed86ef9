"""Which weights of a model are multiplied, read off its recorded graph.

A model file says all of this by the ops that it calls, so no list of layer names is kept anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from honed.models.base import Model
from honed.models.programs import CLASSES, HIDDEN, TAGS, VOCABULARY
from honed.models.recorded import main_graph
from honed.ops.table import Embedding, Route
from honed.ops.values import Weight
from honed.plan.source import head_weight

HEAD = "lm_head.weight"
"""Name that the head has in a recipe and a report, also where it is tied to the embedding."""


@dataclass(frozen=True)
class Linears:
    """`head` is the matrix that gives logits of a vocabulary; None of an encoder that gives none. `layers` are those of
    the other linear ops over tokens, all or selected, those of experts among them. What works on one row of a text, as
    a pooler does, is neither, and nor is the rest of an encoder's head, or what scores experts: they weigh little, and
    their errors go into results undamped or send rows elsewhere."""

    layers: tuple[Weight, ...]
    head: Weight | None
    embedding: Weight

    @property
    def tied(self) -> bool:
        return self.head is not None and self.head.name == self.embedding.name

    @property
    def head_name(self) -> str | None:
        return HEAD if self.tied else None if self.head is None else self.head.name


def find_linears(model: Model) -> Linears:
    """Takes no memory for weights."""
    graph = main_graph(model)
    # Of an encoder the layers are those behind the rows of tokens, which its head is made of.
    body = graph.giving(HIDDEN) if HIDDEN in graph.outputs else graph
    scores = {number for route in graph.operations(Route) for number in route.inputs}
    found = {
        weight.name: weight
        for statement in graph
        if statement.value.rows != "sequences" and statement.number not in scores
        for weight in statement.operation.multiplied
    }
    name = head_weight(graph)
    of_body = {weight.name for statement in body for weight in statement.operation.multiplied}
    layers = tuple(weight for weight in found.values() if weight.name != name and weight.name in of_body)
    return Linears(layers, None if name is None else found[name], next(graph.operations(Embedding)).table)


def head_parts(model: Model) -> frozenset[str]:
    """The matrices of an encoder's head but for that of a vocabulary, with the pooler where the head stands on it."""
    graph = main_graph(model)
    results = [name for name in (CLASSES, TAGS, VOCABULARY) if name in graph.outputs]
    if not results:
        return frozenset()
    body, head = graph.giving(HIDDEN).weights(), head_weight(graph)
    found = (weight.name for statement in graph.giving(*results) for weight in statement.operation.multiplied)
    return frozenset(name for name in found if name not in body and name != head)


def all_linears(model: Model) -> frozenset[str]:
    """The weights of all linear ops, whatever rows they work on."""
    return frozenset(weight.name for statement in main_graph(model) for weight in statement.operation.multiplied)
