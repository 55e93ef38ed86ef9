"""The weights of a checkpoint as a plan asks for them: a matrix for a matmul, or anything else by its name.

A checkpoint may offer, beside its weights, another encoding of the output head alone: `head()`. It is used where the
head is multiplied with. A tied embedding table is looked up in what the checkpoint gives under its name, or, if that is
a `TiedTable`, in the packed head.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from honed.encodings.base import Encoded
from honed.encodings.scheme import DenseScheme, Scheme
from honed.encodings.tied_table import TiedTable
from honed.errors import PlanError
from honed.models.programs import LOGITS, VOCABULARY
from honed.ops.graph import Graph
from honed.ops.table import Activate, Add, Embedding, Linear, Scale
from honed.plan.formats import DensePolicy, Format, format_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
        self._matrices = tuple(weight.name for statement in recorded for weight in statement.operation.multiplied)
        self._tables = frozenset(
            statement.operation.table.name for statement in recorded if isinstance(statement.operation, Embedding)
        )
        self._head_name = head_weight(recorded)

    @cached_property
    def _head(self) -> Encoded | None:
        return self._weights.head() if isinstance(self._weights, HeadEncoding) else None

    @property
    def matrices(self) -> tuple[str, ...]:
        """Names of the matmul weights, in the order of use."""
        return self._matrices

    def tied_tables(self, formats: Mapping[str, Format]) -> frozenset[str]:
        """Names of embedding tables that are looked up in the packed head, which runs in its format of these. Reads no
        values."""
        name = self._head_name
        if name not in self._tables or not formats[name].looked_up:
            return frozenset()
        if isinstance(self._weights, Described):
            tied = not isinstance(self._weights.scheme(name), DenseScheme)
        else:
            tied = isinstance(self._weights.weight(name), TiedTable)
        return frozenset((name,) if tied else ())

    def lookup_factors(self, name: str) -> NDArray[np.float32]:
        """What a row of the head is multiplied with to be a row of this tied table."""
        table = self._weights.weight(name)
        if not isinstance(table, TiedTable):
            raise PlanError(f"{name}: is {table.kind}, and was planned as a tied table")
        return table.factors

    @property
    def separate_tables(self) -> tuple[str, ...]:
        """Names of embedding tables whose tied head has an encoding of its own."""
        name = self._head_name
        return () if name is None or name not in self._tables or self._head is None else (name,)

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
        formats = {name: format_of(scheme, policy) for name, scheme in schemes.items()}
        head = weights.head_scheme()
        if head is not None and self._head_name is not None:
            formats[self._head_name] = format_of(head, policy)
        return formats


def head_weight(recorded: Graph) -> str | None:
    """The weight that gives logits of a vocabulary, whatever is done to each of them then; None where none are asked
    for. Of a sum it is that of the first operand: the second makes up for its error."""
    result = next((name for name in (LOGITS, VOCABULARY) if name in recorded.outputs), None)
    if result is None:
        return None
    output = recorded.output(result).operation
    while isinstance(output, Scale | Activate | Add):
        output = recorded.by_number()[output.inputs[0]].operation
    if not isinstance(output, Linear):
        raise PlanError(f"graph: {output.name} gives the logits, must be a linear layer")
    return output.weight.name
