"""Learned tables of codebooks, one for all layers that have one input and one scheme.

Kernels run such layers (q, k and v; gate and up) as one matrix where their formats are equal, and a table is part of
the format. Not here: how a table is fitted (`encodings/codebook_fit.py`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from honed.compress.base import Weights
from honed.compress.layer_schemes import LayerScheme
from honed.encodings.codebook import Table
from honed.encodings.codebook_fit import fit_table
from honed.encodings.grouping import Importance
from honed.encodings.scheme import CodebookScheme
from honed.models.base import Model
from honed.models.recorded import main_graph
from honed.ops.table import ExpertLinear, Linear


@dataclass(frozen=True)
class SharedTables:
    """Of the weights that are encoded as `schemes` say. Each table is fitted when a layer first asks, and kept."""

    model: Model
    weights: Weights
    schemes: Mapping[str, LayerScheme]
    known: dict[tuple[str, ...], Table] = field(default_factory=dict)

    def scheme(self, name: str, importance: Importance | None) -> LayerScheme:
        """The scheme of a weight, with a table. `importance` is of the input, which all that share it have."""
        scheme = self.schemes[name]
        if not isinstance(scheme, CodebookScheme) or scheme.table is not None:
            return scheme
        alike = self._alike(name)
        if alike not in self.known:
            shared = [self.weights[each] for each in alike]
            self.known[alike] = fit_table(shared, scheme.group, name=name, importance=importance)
        return replace(scheme, table=self.known[alike])

    def _alike(self, name: str) -> tuple[str, ...]:
        """The weight and those beside it, in the order of the model."""
        inputs = dict(_inputs(self.model))
        if name not in inputs:
            return (name,)
        return tuple(
            other
            for other, read in inputs.items()
            if read == inputs[name] and self.schemes.get(other) == self.schemes[name]
        )


def _inputs(model: Model) -> Iterator[tuple[str, Hashable]]:
    """Of each matrix what it is multiplied with."""
    for statement in main_graph(model):
        operation = statement.operation
        if isinstance(operation, Linear):
            yield operation.weight.name, operation.inputs
        elif isinstance(operation, ExpertLinear):
            for expert, matrix in enumerate(operation.matrices):
                yield matrix.name, (*operation.inputs, expert)
