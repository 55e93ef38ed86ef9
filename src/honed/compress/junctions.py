"""Where a factor for each feature can be moved from what makes a value to the linear layers that read it.

Behind attention that is from the rows that make values to the columns that read what is mixed of them, where heads of
queries that share values share their factors (`value_heads.py`): for whoever asks for it.

Which layers stand behind which norm is read off the recorded graph; no list of names is kept. A norm or `up` whose
output anything but a linear layer reads is left alone. So is the norm before a tied head, unless that head is a weight
apart from the embedding table, which is looked up in and cannot take a factor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honed.compress.linears import HEAD
from honed.compress.value_heads import ValueHeads, find_value_heads
from honed.models.base import Model
from honed.models.recorded import main_graph
from honed.ops.graph import Statement
from honed.ops.table import Embedding, Gated, LayerNorm, Linear, RmsNorm, Scale
from honed.ops.values import Weight


@dataclass(frozen=True)
class Junction:
    """`consumers` read what `producer` makes: a norm weight (vector) or the rows of a matrix.

    `measured` is the weight under which the inputs are known of what flows here. `apart` says that the consumer is the
    encoded form of a tied head: the table that it is tied to stays as it is, and goes with the producer as it was.
    `heads`: of values that attention mixes on the way, with the bias that takes their factors too.
    """

    producer: Weight
    consumers: tuple[Weight, ...]
    measured: str
    apart: bool
    heads: ValueHeads | None = None

    @property
    def bias(self) -> Weight | None:
        """What the producer adds, of which its factors are divided out as well."""
        return None if self.heads is None else self.heads.bias

    def at_consumers(self, factors: NDArray[np.floating]) -> NDArray[np.floating]:
        """A value for each feature of the producer, as the consumers' inputs have it."""
        if self.heads is None:
            return factors
        return factors.reshape(self.heads.heads, self.heads.width)[list(self.heads.sources)].ravel()

    def at_producer(self, means: NDArray[np.floating]) -> NDArray[np.floating]:
        """The mean for each feature of the producer, over the consumers' inputs that it goes into."""
        if self.heads is None:
            return means
        shared: NDArray[np.floating] = means.reshape(self.heads.heads, self.heads.sharing, self.heads.width).mean(
            axis=1
        )
        return shared.ravel()


def find_junctions(model: Model, *, head_apart: bool, values: bool = False) -> tuple[Junction, ...]:
    """Every place of a forward pass where a factor for each feature can be moved, in the order of the pass.

    A factor moves only through what is known to let it pass: a value that anything but linear layers reads keeps its
    own, and so does a weight that is used twice, but for the head that is encoded apart from its table.
    `head_apart`: a tied head is encoded so, as the weight `HEAD`. `values`: those across attention too, at the end.
    """
    graph = main_graph(model)
    statements, users = graph.by_number(), graph.users()
    uses = Counter(weight.name for statement in graph for weight in statement.operation.weights)
    tables = {op.table.name for op in graph.operations(Embedding)}
    results = frozenset(graph.outputs.values())
    found = []
    for statement in graph:
        producer = _producer(statement, statements, users)
        readers = [user.operation for user in users.get(statement.number, ())]
        linears = [reader for reader in readers if isinstance(reader, Linear)]
        if producer is None or uses[producer.name] != 1 or statement.number in results:
            continue
        if not linears or len(linears) != len(readers):
            continue
        consumers = tuple(reader.weight for reader in linears)
        measured = consumers[0].name
        if all(uses[consumer.name] == 1 for consumer in consumers):
            found.append(Junction(producer, consumers, measured, apart=False))
        elif head_apart and len(consumers) == 1 and measured in tables and uses[measured] == 2:
            found.append(Junction(producer, (Weight(HEAD, consumers[0].shape),), measured, apart=True))
    if values:
        across = find_value_heads(model)
        found += [Junction(at.values, (at.output,), at.output.name, apart=False, heads=at) for at in across]
    return tuple(found)


def _producer(
    statement: Statement, statements: Mapping[int, Statement], users: Mapping[int, Sequence[Statement]]
) -> Weight | None:
    """The weight that a factor on each feature of a value can be divided out of; None where there is none."""
    match statement.operation:
        case RmsNorm(weight=weight) if weight.shape[0] == statement.value.width:
            return weight  # that of a norm of heads repeats over the row
        case LayerNorm(weight=weight, bias=None):
            return weight
        case Linear(weight=weight, bias=None):
            return weight  # with a bias the rows alone do not carry the factor
        case Gated(inputs=(gate, up), activation=activation) if gate != up and list(users[up]) == [statement]:
            if activation == "clamped_silu":
                return None  # whose ups are bounded, and summed with one
            # A factor on the rows of `up` passes through the product with the activated gate.
            return _producer(statements[up], statements, users)
        case Scale(inputs=(x,)) if list(users[x]) == [statement]:
            return _producer(statements[x], statements, users)
        case _:
            return None
