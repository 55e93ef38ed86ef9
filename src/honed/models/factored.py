"""A model some of whose linear layers are products of two: of another model, by rewriting what it records.

Linear(x, W) becomes Linear(Linear(x, B), A), with B [rank, in] and A [out, rank]; or, where W stays and the two make up
for its error, the sum of both. Layers that read one value may share a B. A table of embeddings becomes one of narrower
rows and a linear layer behind it (Lan et al. 2020, "ALBERT"). Which they are, with which rank, stands in config.json
under a key of our own, so any family has factors without a line in its file. A bias stays behind A.
Not here: how factors are found (`compress/passes/svd.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from honed.models.base import Config, DecoderModel, Dimensions, EncoderModel, Model
from honed.models.config import Fields
from honed.models.programs import ENCODE, HIDDEN, LOGITS, STEP
from honed.models.recorded import list_weights, recorded
from honed.ops.operation import Operation
from honed.ops.record import Node, Program, Recorder
from honed.ops.table import Embedding, Linear
from honed.ops.values import Weight
from honed.records import dataclass

FACTORS_FIELD = "honed_factors"
"""Of a config.json: a list of objects with `weights`, `rank` and, where the factors are added to them, `added`."""
_SUFFIX = ".weight"
_INNER, _OUTER = ".factor_in", ".factor_out"


@dataclass(frozen=True)
class FactorGroup:
    """Linear layers, by their weights, that share the factor at their input, or one table of embeddings. `added`: the
    product is added to what the layers give, instead of standing in their place."""

    weights: tuple[str, ...]
    rank: int
    added: bool = False

    @property
    def inner(self) -> str:
        """The name of the factor at the input, [rank, in]: after the first of the layers. Of a table the narrower one,
        [ids, rank]."""
        return f"{self.weights[0].removesuffix(_SUFFIX)}{_INNER}{_SUFFIX}"

    def outer(self, weight: str) -> str:
        """The name of the factor at the output of a layer or a table, [out, rank]."""
        return f"{weight.removesuffix(_SUFFIX)}{_OUTER}{_SUFFIX}"

    def as_json(self) -> dict[str, Any]:
        """As in a config.json."""
        said = {"weights": list(self.weights), "rank": self.rank}
        return {**said, "added": True} if self.added else said


@dataclass(frozen=True)
class _Factored:
    """What a decoder and an encoder with factors have in common."""

    model: Model
    factors: tuple[FactorGroup, ...]

    @property
    def dimensions(self) -> Dimensions:
        return self.model.dimensions

    def programs(self) -> Mapping[str, Program]:
        return {name: self._program(name) for name in self.model.programs()}

    def weights(self) -> Mapping[str, Weight]:
        return list_weights(self)

    def _program(self, name: str) -> Program:
        groups = {weight: group for group in self.factors for weight in group.weights}

        def program(ops: Recorder) -> Mapping[str, Node]:
            graph = recorded(self.model, name)
            made: dict[int, Node] = {}
            inner: dict[tuple[int, str], Node] = {}
            for statement in graph:
                operation = _reading(statement.operation, made)
                if isinstance(operation, Linear) and operation.weight.name in groups:
                    node = _product(ops, operation, groups[operation.weight.name], inner)
                elif isinstance(operation, Embedding) and operation.table.name in groups:
                    node = _looked_up(ops, operation, groups[operation.table.name])
                else:
                    node = ops.record(operation)
                made[statement.number] = node
            return {result: made[number] for result, number in graph.outputs.items()}

        return program


def _reading(operation: Operation, made: Mapping[int, Node]) -> Operation:
    return replace(operation, inputs=tuple(made[number] for number in operation.inputs))


def _product(ops: Recorder, linear: Linear, group: FactorGroup, inner: dict[tuple[int, str], Node]) -> Node:
    """`inner`: the first products that there are, each of which is computed once for all layers that share it."""
    (x,), (outputs, inputs) = linear.inputs, linear.weight.shape
    key = (x, group.inner)
    if key not in inner:
        inner[key] = ops.linear(Node(x), Weight(group.inner, (group.rank, inputs)))
    last = Weight(group.outer(linear.weight.name), (outputs, group.rank))
    if not group.added:
        return ops.linear(inner[key], last, linear.bias)
    return ops.add(ops.record(linear), ops.linear(inner[key], last))


def _looked_up(ops: Recorder, embedding: Embedding, group: FactorGroup) -> Node:
    rows, width = embedding.table.shape
    narrow = ops.record(replace(embedding, table=Weight(group.inner, (rows, group.rank))))
    return ops.linear(narrow, Weight(group.outer(embedding.table.name), (width, group.rank)))


@dataclass(frozen=True)
class FactoredDecoder(_Factored):
    """See `DecoderModel`."""

    model: DecoderModel
    factors: tuple[FactorGroup, ...]

    def forward(self, ops: Recorder) -> Node:
        return self.programs()[STEP](ops)[LOGITS]


@dataclass(frozen=True)
class FactoredEncoder(_Factored):
    """See `EncoderModel`."""

    model: EncoderModel
    factors: tuple[FactorGroup, ...]

    def hidden(self, ops: Recorder) -> Node:
        return self.programs()[ENCODE](ops)[HIDDEN]

    @property
    def width(self) -> int:
        return self.model.width

    @property
    def types(self) -> int:
        return self.model.types


def without_factors(model: Model) -> Model:
    """The model of the family, which its own file reads and asks."""
    return model.model if isinstance(model, _Factored) else model


def factors_of(model: Model) -> tuple[FactorGroup, ...]:
    return model.factors if isinstance(model, _Factored) else ()


def with_factors(model: Model, factors: tuple[FactorGroup, ...]) -> FactoredDecoder | FactoredEncoder:
    """The model of a family with these factors. PlanError, once it is recorded, where shapes do not fit."""
    if STEP in model.programs():
        return FactoredDecoder(cast("DecoderModel", model), factors)
    return FactoredEncoder(cast("EncoderModel", model), factors)


def read_factors(model: Model, config: Config, source: Path | str) -> tuple[FactorGroup, ...]:
    """What a config says of factors of that model; nothing where it has no such field.

    FormatError naming the field for anything but a list of groups of its linear layers, each in one group, that have
    one number of inputs, with a rank from 1 to that; or of one table each, with a rank up to its width.
    """
    values = config.get(FACTORS_FIELD)
    if values is None:
        return ()
    fields = Fields(config, source)
    if not isinstance(values, list) or not values:
        raise fields.wrong(FACTORS_FIELD, "must be a list of one object or more")
    (layers, tables), known = _apart(model), set[str]()
    groups = []
    for number, value in enumerate(values):
        if not isinstance(value, dict):
            raise fields.wrong(FACTORS_FIELD, f"entry {number} must be an object")
        entry = Fields(value, source, f"{FACTORS_FIELD}[{number}].")
        names = value.get("weights")
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise entry.wrong("weights", "must be a list of one name or more")
        for name in names:
            if name not in layers and name not in tables:
                problem = "is neither the weight of a linear layer nor a table by itself in this model"
                raise entry.wrong("weights", f"{name:.200} {problem}")
            if name in tables and len(names) > 1:
                raise entry.wrong("weights", f"{name:.200} is a table, and must be alone")
            if name in known:
                raise entry.wrong("weights", f"{name:.200} has factors already")
            known.add(name)
        inputs = {(layers.get(name) or tables[name]).shape[1] for name in names}
        if len(inputs) != 1:
            raise entry.wrong("weights", f"they have {len(inputs)} different numbers of inputs, and must have one")
        for key in value.keys() - {"weights", "rank", "added"}:
            raise entry.wrong(key, "is not known here")
        rank, added = entry.integer("rank", 1, inputs.pop()), entry.boolean("added", default=False)
        if added and names[0] in tables:
            raise entry.wrong("added", "must be false for a table")
        groups.append(FactorGroup(tuple(names), rank, added))
    return tuple(groups)


def _apart(model: Model) -> tuple[dict[str, Weight], dict[str, Weight]]:
    """The weights of linear layers, and the tables, that are nothing else."""
    graphs = [recorded(model, name) for name in model.programs()]
    tables = {operation.table.name: operation.table for graph in graphs for operation in graph.operations(Embedding)}
    linears = {operation.weight.name: operation.weight for graph in graphs for operation in graph.operations(Linear)}
    both = tables.keys() & linears.keys()
    alone = ({name: weight for name, weight in found.items() if name not in both} for found in (linears, tables))
    return next(alone), next(alone)


def layer_of(module: str) -> str:
    """The linear layer that a factor is one of, of modules that are named without `.weight`; others are their own."""
    return module.removesuffix(_INNER).removesuffix(_OUTER)


def factors_json(factors: Sequence[FactorGroup]) -> dict[str, Any]:
    """What stands in a config.json of them."""
    return {FACTORS_FIELD: [group.as_json() for group in factors]} if factors else {}
