"""How much the loss of a model changes with each weight: gradients over calibration windows, in torch.

The loss is the mean of -log p(next token) over a window. Backwards through a model everything is needed again that the
way forward made, so this cannot be done with two blocks in memory, as observing can. What is held is the weights in
float32, as much again for what is summed, and for one window the values between blocks: each block is gone through
again, with its gradients, when its turn backwards comes (Chen et al. 2016, "Training deep nets with sublinear memory
cost"). torch is imported by whoever asks for gradients, and by nobody else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from honed.compress.base import Weights
from honed.compress.blocks import Block, find_blocks
from honed.compress.linears import HEAD, find_linears
from honed.compress.needs import GradientMean
from honed.encodings.base import Encoded
from honed.errors import ParameterError
from honed.models.base import Model
from honed.models.programs import LOGITS
from honed.models.recorded import main_graph
from honed.ops.graph import Graph
from honed.ops.reference import TORCH, GrowingStore, Rows, Step


def weight_gradients(
    model: Model,
    weights: Weights,
    windows: Sequence[Sequence[int]],
    names: Set[str],
    mean: GradientMean,
    *,
    threads: int,
) -> dict[str, NDArray[np.float32]]:
    """Of the weights of linear layers by name, [out, in]: the mean of the gradients of the windows, or the root of that
    of their squares. A tied head goes by the name of its table, and what is looked up in that does not count.

    ParameterError for a model that predicts no tokens, and for windows of fewer than two.
    """
    graph = main_graph(model)
    if LOGITS not in graph.outputs:
        raise ParameterError("gradients", None, "need a model that predicts tokens, and this one has no head")
    if not windows or min(map(len, windows)) < 2:
        raise ParameterError("calibration windows", len(windows), "must be at least one, of two tokens or more")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return _Backwards(model, graph, weights, names).over(windows, mean)
    finally:
        torch.set_num_threads(before)


class _Backwards:
    def __init__(self, model: Model, graph: Graph, weights: Weights, names: Set[str]) -> None:
        TORCH.check(graph)
        self._graph, self._names = graph, names
        self._blocks = find_blocks(graph)
        self._weights = {
            weight.name: _tensor(weights[weight.name]) for statement in graph for weight in statement.operation.weights
        }
        linears, self._tables = find_linears(model), dict[str, Tensor]()
        if linears.tied:
            # Looked up apart from the head, so that its gradient is that of the head alone, which passes before this
            # one may have changed along with the norm in front of it.
            table = linears.embedding.name
            self._tables[table] = self._weights[table]
            if HEAD in weights:
                self._weights[table] = _tensor(weights[HEAD])

    def over(self, windows: Sequence[Sequence[int]], mean: GradientMean) -> dict[str, NDArray[np.float32]]:
        sums = {name: torch.zeros_like(self._weights[name]) for name in self._names}
        for window in windows:
            for name, gradient in self._of(torch.tensor(window)).items():
                sums[name] += gradient if mean == "plain" else gradient.square()
        for total in sums.values():
            total.div_(len(windows))
            if mean == "rms":
                total.sqrt_()
        return {name: total.numpy() for name, total in sums.items()}

    def _of(self, tokens: Tensor) -> dict[str, Tensor]:
        """The gradients of one window."""
        rows = Rows.single(tokens)
        logits = self._graph.outputs[LOGITS]
        entering: list[dict[int, Tensor]] = []
        values: dict[int, Tensor] = {}
        with torch.no_grad():
            for block in self._blocks:
                entering.append({number: values[number] for number in _read(block)})
                self._advance(block, self._weights, rows, values)
        scores = values[logits].detach().requires_grad_()
        loss = torch.nn.functional.cross_entropy(scores[:-1], tokens[1:])
        slopes = {logits: torch.autograd.grad(loss, scores)[0]}
        del values, scores, loss
        found: dict[str, Tensor] = {}
        for block in reversed(self._blocks):
            for name, gradient in self._back(block, rows, entering.pop(), slopes).items():
                found[name] = found[name] + gradient if name in found else gradient
        return found

    def _back(
        self, block: Block, rows: Rows, entering: Mapping[int, Tensor], slopes: dict[int, Tensor]
    ) -> dict[str, Tensor]:
        """The gradients of the weights of a block; those of what enters it join `slopes`, and those of what leaves it
        are taken from there."""
        inputs = {number: value.detach().requires_grad_() for number, value in entering.items()}
        own = {name: self._weights[name].detach().requires_grad_() for name in sorted(block.linears & self._names)}
        values: dict[int, Tensor] = dict(inputs)
        self._advance(block, {**self._weights, **own}, rows, values)
        asked = [*inputs.values(), *own.values()]
        if not asked:
            return {}  # the first block, of which nothing is asked
        leaving = [number for number in values if number in slopes and number not in inputs]
        gradients = torch.autograd.grad(
            [values[number] for number in leaving],
            asked,
            [slopes.pop(number) for number in leaving],
            materialize_grads=True,  # zeros where nothing depends on it
        )
        for number, gradient in zip(inputs, gradients, strict=False):
            slopes[number] = slopes[number] + gradient if number in slopes else gradient
        return dict(zip(own, gradients[len(inputs) :], strict=True))

    def _advance(self, block: Block, weights: Mapping[str, Tensor], rows: Rows, values: dict[int, Tensor]) -> None:
        step = Step(weights, rows, GrowingStore(), self._tables)
        TORCH.advance(self._graph, block.statements, step, values)


def _tensor(weight: Encoded) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(weight.decode(), np.float32))


def _read(block: Block) -> frozenset[int]:
    """What of other blocks it reads."""
    own = {statement.number for statement in block.statements}
    return frozenset(number for statement in block.statements for number in statement.operation.inputs) - own
