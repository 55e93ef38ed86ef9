"""How the files of a family hold weights that its model names otherwise.

A model names every matrix that it multiplies with, as (out, in). Files may hold several of them in one tensor, stacked
or interleaved head by head, hold them transposed, or hold a norm without the 1 that is added to it. A family says so
weight by weight (`Family.stored`), and readers of checkpoints take the weight out of its tensor. Artifacts hold the
weights by the names of the model, so nothing is said of them.
Not here: taking rows out of a tensor (`encodings/rearranged.py`), names that are only spelled otherwise (`family.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from honed.encodings.rearranged import RowRuns
from honed.ops.values import Weight
from honed.records import dataclass


@dataclass(frozen=True)
class Stored:
    """One weight of a model, as a file holds it.

    tensor: name and shape of the tensor that it lies in, whole. matrix: which one of [matrices, ., .] or [vectors, .].
    transposed: it lies as (in, out). rows: which rows of the matrix, counted where its outputs are the rows; None: all.
    added: the weight is what lies there plus this, in float32.
    """

    tensor: Weight
    matrix: int | None = None
    transposed: bool = False
    rows: RowRuns | None = None
    added: float = 0.0


Forms = Mapping[str, Stored]
"""Of the weights of a model that lie otherwise, by their names in the model."""


def transposed(weight: Weight, tensor: str | None = None) -> tuple[str, Stored]:
    """A matrix that lies as (in, out), under its own name or as `tensor`."""
    return weight.name, Stored(Weight(tensor or weight.name, weight.shape[::-1]), transposed=True)


def plus_one(weight: Weight) -> tuple[str, Stored]:
    """A norm of which 1 + w is multiplied, and w lies in the file."""
    return weight.name, Stored(weight, added=1.0)


def stacked(tensor: str, weights: Sequence[Weight], *, across: bool = False) -> Iterator[tuple[str, Stored]]:
    """Weights of one input, or their biases, that lie behind each other. `across`: the tensor lies as (in, out)."""
    shape = (sum(weight.shape[0] for weight in weights), *weights[0].shape[1:])
    whole = Weight(tensor, shape[::-1] if across else shape)
    first = 0
    for weight in weights:
        rows = RowRuns(first, weight.shape[0])
        yield weight.name, Stored(whole, transposed=across and len(shape) == 2, rows=rows)
        first += weight.shape[0]


def by_head(tensor: str, weights: Sequence[Weight], heads: int) -> Iterator[tuple[str, Stored]]:
    """Weights with as many rows each that lie head by head: the rows of the first head of each, then of the second."""
    rows = weights[0].shape[0]
    whole = Weight(tensor, (rows * len(weights), *weights[0].shape[1:]))
    run = rows // heads
    for place, weight in enumerate(weights):
        yield weight.name, Stored(whole, rows=RowRuns(place * run, run, heads, run * len(weights)))
