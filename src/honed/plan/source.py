"""The weights of a checkpoint as a plan asks for them: a matrix for a matmul, or anything else by its name.

A checkpoint may offer, beside its weights, another encoding of the output head alone: `head()`. It is used where the
head is multiplied with, not where a tied embedding table is looked up in.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from honed.encodings.base import Encoded
from honed.encodings.scheme import Scheme
from honed.errors import PlanError
from honed.plan import graph as g
from honed.plan.formats import DensePolicy, Format, format_of
from honed.plan.graph import Graph


class NamedWeights(Protocol):
    """What is needed of a checkpoint."""

    def weight(self, name: str) -> Encoded:
        """The weight as stored. Unknown name: KeyError."""


class Plannable(NamedWeights, Protocol):
    """What is needed of a checkpoint to plan it without being told its model."""

    @property
    def config(self) -> Mapping[str, Any]: ...

    @property
    def path(self) -> Path: ...


@runtime_checkable
class HeadEncoding(Protocol):
    """A checkpoint that may hold the head in an encoding of its own."""

    def head(self) -> Encoded | None:
        """The head as a matmul weight, or None where it is the weight of that name."""


@runtime_checkable
class Described(Protocol):
    """A checkpoint that says how its weights are encoded without making them."""

    def scheme(self, name: str) -> Scheme:
        """Of a weight. Unknown name: KeyError."""

    def head_scheme(self) -> Scheme | None:
        """Of `HeadEncoding.head`."""


class PlanSource:
    """The weights that a recorded graph names."""

    def __init__(self, weights: NamedWeights, recorded: Graph) -> None:
        self._weights = weights
        self._matrices = tuple(
            statement.operation.weight.name for statement in recorded if isinstance(statement.operation, g.Linear)
        )
        self._tables = frozenset(
            statement.operation.table.name for statement in recorded if isinstance(statement.operation, g.Embedding)
        )
        output = recorded.output.operation
        if not isinstance(output, g.Linear):
            raise PlanError(f"graph: ends in {output.name}, must end in the linear layer that gives the logits")
        self._head_name = output.weight.name

    @cached_property
    def _head(self) -> Encoded | None:
        return self._weights.head() if isinstance(self._weights, HeadEncoding) else None

    @property
    def matrices(self) -> tuple[str, ...]:
        """Names of the matmul weights, in the order of use."""
        return self._matrices

    @property
    def separate_tables(self) -> tuple[str, ...]:
        """Names of embedding tables whose tied head has an encoding of its own."""
        tied = self._head_name in self._tables
        return (self._head_name,) if tied and self._head is not None else ()

    def weight(self, name: str) -> Encoded:
        """A table, norm or bias."""
        return self._weights.weight(name)

    def matrix(self, name: str) -> Encoded:
        """The weight of a matmul."""
        return self._head if name == self._head_name and self._head is not None else self.weight(name)

    def formats(self, policy: DensePolicy) -> dict[str, Format]:
        """The form in which each matrix of the graph runs."""
        weights = self._weights
        if not isinstance(weights, Described):
            return {name: format_of(self.matrix(name), policy) for name in self._matrices}
        schemes = {name: weights.scheme(name) for name in self._matrices}
        head = weights.head_scheme()
        return {name: format_of(scheme, policy) for name, scheme in schemes.items()} | (
            {} if head is None else {self._head_name: format_of(head, policy)}
        )
