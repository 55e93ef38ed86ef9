"""The blocks of a model, read off its recorded graph: no list of layers is kept anywhere.

A block ends where a single value is all that the rest of the model needs: in a decoder the residual stream, after
attention and after the MLP of each layer. So whoever goes through a model block by block holds one value between two
blocks, and no weight but those of the block that it is in.
"""

from __future__ import annotations

from dataclasses import dataclass

from honed.ops.graph import Graph, Statement


@dataclass(frozen=True)
class Block:
    """Statements that follow each other in the graph, linear layers among them."""

    statements: tuple[Statement, ...]

    @property
    def linears(self) -> frozenset[str]:
        """The weights of its linear layers."""
        return frozenset(weight.name for statement in self.statements for weight in statement.operation.multiplied)


def find_blocks(graph: Graph) -> tuple[Block, ...]:
    """Together they are the whole graph, in its order. Statements without a linear layer join the block that follows
    them, the last ones that before them. A model that never comes down to a single value is one block."""
    last_users = {number: users[-1].number for number, users in graph.users().items()}
    places = {statement.number: place for place, statement in enumerate(graph)}
    ends = {number: places[last] for number, last in last_users.items()}
    found: list[list[Statement]] = []
    current: list[Statement] = []
    alive: set[int] = set()
    for place, statement in enumerate(graph):
        current.append(statement)
        if statement.number in ends:
            alive.add(statement.number)
        alive = {number for number in alive if ends[number] > place}
        if len(alive) == 1 and _has_linear(current):
            found.append(current)
            current = []
    if current and (_has_linear(current) or not found):
        found.append(current)
    elif current:
        found[-1] += current
    return tuple(Block(tuple(statements)) for statements in found)


def _has_linear(statements: list[Statement]) -> bool:
    return any(statement.operation.multiplied for statement in statements)
