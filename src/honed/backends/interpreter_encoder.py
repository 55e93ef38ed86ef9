"""Runs the program `encode` of an encoder op by op in numpy: what the native executor is held against.

Not here: what each op means (`interpreter_ops.py`).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.backends.encoder import Output, TextBatch
from honed.backends.interpreter import load_weights, run_plan
from honed.backends.interpreter_ops import RaggedRows, Step
from honed.models.base import EncoderModel
from honed.models.recorded import encoding
from honed.ops.values import TOKEN_TYPES, TOKENS
from honed.plan.build import ALL_FUSIONS, plan_graph
from honed.plan.formats import DensePolicy
from honed.plan.lowered import LoweredPlan
from honed.plan.source import NamedWeights

STEP_TOKENS = 512


class InterpreterEncoder:
    """Implements `honed.backends.encoder.EncoderBackend`. A plan is made for each output that is asked for."""

    def __init__(
        self,
        model: EncoderModel,
        weights: NamedWeights,
        dtype: DensePolicy = "auto",
        fusions: tuple[str, ...] = ALL_FUSIONS,
    ) -> None:
        self._model = model

        @cache
        def planned(output: Output) -> tuple[LoweredPlan, list[Any]]:
            stages = plan_graph(encoding(model, output), weights, dtype, fusions)
            return stages.plan, load_weights(stages, dtype)

        self._planned = planned

    @property
    def name(self) -> str:
        return "interpreter"

    @property
    def width(self) -> int:
        return self._model.width

    @property
    def context(self) -> int:
        return self._model.dimensions.context

    @property
    def types(self) -> int:
        return self._model.types

    @property
    def step_tokens(self) -> int:
        return max(STEP_TOKENS, self.context)

    def plan(self, output: Output) -> LoweredPlan:
        """What is run for an output. UnsupportedError for one that the model has not."""
        return self._planned(output)[0]

    def encode(self, batch: TextBatch, output: Output) -> NDArray[np.float32]:
        """See `EncoderBackend`."""
        plan, weights = self._planned(output)
        return run_plan(Step.of(plan, text_rows(batch), weights, []))[output]


def text_rows(batch: TextBatch) -> RaggedRows:
    """The rows of whole texts."""
    lengths = batch.lengths
    return RaggedRows(
        inputs={TOKENS: batch.tokens, TOKEN_TYPES: batch.types},
        positions=np.concatenate([np.arange(length, dtype=np.int32) for length in lengths] or [np.arange(0)]),
        sequences=np.repeat(np.arange(len(lengths), dtype=np.int32), lengths),
        selected=batch.selected_rows,
        page_tables=None,
    )
