"""How much memory compressing a model takes, from its graph, the recipe and the tokens to calibrate on; nothing is
read.

An upper bound of what is held at once, not a measurement. Not here: how much there is (`backends/free_memory.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from honed.compress.observe import PART_ROWS
from honed.compress.observed_blocks import PlacedBlock, place_blocks
from honed.compress.passes.distill import DistillSettings
from honed.compress.recipe import Recipe
from honed.compress.registry import make_pass
from honed.compress.training.settings import CHUNK_BYTES, FullTraining
from honed.encodings.scheme import Scheme
from honed.models.base import Model
from honed.models.recorded import main_graph
from honed.ops.table import Attention

_FLOAT32, _FLOAT64 = 4, 8
_PROCESS = 160_000_000
"""The interpreter, the libraries and the native engine."""
_FACTORS = 5
"""Matrices of the size of a Gram matrix that making a factor of it holds at once: the damped one, what is factored, its
inverse and what is copied on the way."""


@dataclass(frozen=True)
class MemoryNeeded:
    """Bytes. blocks: weights of two blocks, decoded and packed. activations: of all calibration tokens between two
    blocks, and of those that go through one together. statistics: what is known of the inputs of layers, and what a
    pass makes of it. made: weights that are kept until they are written. training: of the pass that trains most, by
    itself: blocks are not gone through meanwhile."""

    blocks: int
    activations: int
    statistics: int
    made: int
    training: int = 0

    @property
    def total(self) -> int:
        return _PROCESS + self.made + max(self.blocks + self.activations + self.statistics, self.training)


def memory_needed(model: Model, recipe: Recipe, schemes: Mapping[str, Scheme], *, tokens: int) -> MemoryNeeded:
    """schemes: of the weights that the recipe encodes. tokens: to calibrate on, 0 where none are needed."""
    weights = model.weights()
    # A model whose blocks nothing goes through need have none that can be.
    placed = place_blocks(model) if tokens else ()
    sizes = sorted(_weight_values(one) for one in placed)
    largest = max(math.prod(weight.shape) for weight in weights.values())
    by_block = any(make_pass(settings).needs.order == "blocks" for settings in recipe.passes)
    encoded = sum(scheme.nbytes(weights[name].shape) for name, scheme in schemes.items() if name in weights)
    return MemoryNeeded(
        # Of a weight that is encoded: the values, those that errors moved, and the codes.
        blocks=2 * _FLOAT32 * sum(sizes[-2:]) + (_FLOAT32 + _FLOAT64 + _FLOAT32) * largest,
        activations=max((_activations(model, one, tokens) for one in placed), default=0),
        statistics=_statistics(recipe, placed, weights),
        made=encoded if by_block else 0,
        training=max((_training(model, one, recipe, tokens) for one in recipe.passes), default=0),
    )


def _weight_values(placed: PlacedBlock) -> int:
    found = {weight for statement in placed.block.statements for weight in statement.operation.weights}
    return sum(math.prod(weight.shape) for weight in found)


def _activations(model: Model, placed: PlacedBlock, tokens: int) -> int:
    values = {statement.number: statement.value for statement in main_graph(model)}
    kept = sum(values[number].width for number in {*placed.inputs, *placed.leaving, *placed.alive})
    own = sum(statement.value.width for statement in placed.block.statements if statement.value.rows != "selected")
    together = tokens if placed.not_native is not None else min(tokens, PART_ROWS)
    return _FLOAT32 * (kept * tokens + own * together)


def _statistics(recipe: Recipe, placed: tuple[PlacedBlock, ...], weights: Mapping[str, object]) -> int:
    found = 0
    for settings in recipe.passes:
        needs = make_pass(settings).needs
        if "gram" not in needs.statistics:
            continue
        grams = [[_width(names, weights) ** 2 for names in one.taps.values()] for one in placed]
        widest = max((size for sizes in grams for size in sizes), default=0)
        of_blocks = [sum(sizes) for sizes in grams]
        held = max(of_blocks, default=0) if needs.order == "blocks" else sum(of_blocks)
        found = max(found, _FLOAT64 * (2 * held + _FACTORS * widest))
    return found


_COPIES_OF_ALL = 4
"""Of every weight: the teacher's, the student's as they were, as they are in a step, and where they did best."""
_COPIES_OF_TRAINED = 4
"""Of what is trained: the parameters, their gradients, and two values that AdamW keeps of each."""
_LOGITS = 4
"""Of a part of the rows at a time: those of teacher and student, and what the loss makes of them."""
_SAVED = 2
"""Times that a value is held between going forward and back, as an operation saves what it reads and what it gives."""


def _training(model: Model, settings: object, recipe: Recipe, tokens: int) -> int:
    """Of one pass: weights of both models, what the optimizer keeps, and what backward needs of the windows that go
    through together. That a model was made smaller before is not counted on."""
    if not isinstance(settings, DistillSettings):
        return 0
    values = sum(math.prod(weight.shape) for weight in model.weights().values())
    trained = values if isinstance(settings.train, FullTraining) else values // 8
    window = min(recipe.calibration.window or tokens, tokens)
    rows = settings.together * window
    statements = [one for one in main_graph(model) if one.value.rows != "selected"]
    widths = [one.value.width for one in statements]
    maps = [
        one.value.width // one.operation.spec.head_dim * window
        for one in statements
        if isinstance(one.operation, Attention)
    ]
    held = sum(widths) + sum(maps)
    if settings.checkpointing and maps:  # what enters each layer, and all of one
        held = widths[0] * len(maps) + held // len(maps)
    logits = _LOGITS * min(_FLOAT32 * model.dimensions.vocabulary * rows, CHUNK_BYTES)
    return _FLOAT32 * (_COPIES_OF_ALL * values + _COPIES_OF_TRAINED * trained + _SAVED * rows * held) + logits


def _width(names: tuple[str, ...], weights: Mapping[str, object]) -> int:
    shape: tuple[int, ...] = getattr(weights[names[0]], "shape", (0, 0))
    return shape[-1]
