"""Runs a lowered plan op by op in numpy: the oracle that the native executor is held against. For small models only.

Not here: what each op means (`interpreter_ops.py`), and sharing of buffers, which must not change results and therefore
is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.backends.attention import KvPair
from honed.backends.base import PAGE_TOKENS, Batch, PageGroup
from honed.backends.capacity import STEP_TOKENS, cache_groups, check_step_tokens, kv_pages
from honed.backends.float32 import Floats
from honed.backends.interpreter_ops import RaggedRows, Step, run_op
from honed.backends.kv_cache import kv_dtype
from honed.backends.matrices import read_matrix
from honed.checkpoints.base import Checkpoint
from honed.encodings.dense import Dense, bfloat16_to_float32, float32_to_bfloat16
from honed.models.programs import LOGITS
from honed.models.registry import read_model
from honed.plan import lowered as low
from honed.plan.build import ALL_FUSIONS, Stages, build_plan
from honed.plan.formats import DensePolicy, KvPolicy, dense_dtype, lies_as_table
from honed.plan.source import PlanSource


@dataclass(frozen=True)
class InterpreterConfig:
    """`dtype`, `kv_dtype` and `sequences` as `NativeConfig` has them; `fusions` names those to apply, which changes no
    result."""

    dtype: DensePolicy = "auto"
    kv_dtype: KvPolicy = "auto"
    kv_tokens: int | None = None
    sequences: int | None = None
    step_tokens: int = STEP_TOKENS
    fusions: tuple[str, ...] = ALL_FUSIONS

    def __post_init__(self) -> None:
        check_step_tokens(self.step_tokens)


class InterpreterBackend:
    """Implements `honed.backends.base.Backend`."""

    def __init__(self, checkpoint: Checkpoint, config: InterpreterConfig) -> None:
        model = read_model(checkpoint.config, checkpoint.path)
        stages = build_plan(model, checkpoint, config.dtype, config.fusions)
        self.plan = stages.plan
        self._config = config
        self._weights = load_weights(stages, config.dtype)
        pages = kv_pages(config.kv_tokens, model.dimensions.context)
        self._context = model.dimensions.context
        self._groups = cache_groups(stages.recorded, pages, config.step_tokens, config.sequences)
        dtype = kv_dtype(self.plan, config.kv_dtype)
        groups = self._groups.groups
        self._caches = [
            KvPair(groups[group].pages * PAGE_TOKENS, cache.kv_heads, cache.key_width, cache.value_width, dtype)
            for cache, group in zip(self.plan.caches, self._groups.of_cache, strict=True)
        ]

    @staticmethod
    def load(checkpoint: Checkpoint, config: InterpreterConfig) -> InterpreterBackend:
        """Plans the model and reads its weights."""
        return InterpreterBackend(checkpoint, config)

    @property
    def name(self) -> str:
        return "interpreter"

    @property
    def vocabulary(self) -> int:
        return self.plan.slots[self.plan.output(LOGITS)].width

    @property
    def context(self) -> int:
        return self._context

    @property
    def pages(self) -> int:
        return self._groups.groups[0].pages

    @property
    def page_groups(self) -> tuple[PageGroup, ...]:
        return self._groups.groups

    @property
    def step_tokens(self) -> int:
        return self._config.step_tokens

    def forward(self, batch: Batch) -> NDArray[np.float32]:
        return run_plan(Step.of(self.plan, RaggedRows.of(batch, self._groups.of_cache), self._weights, self._caches))[
            LOGITS
        ]


def run_plan(step: Step) -> dict[str, Floats]:
    """The results of a plan by their names."""
    for op in step.plan.ops:
        run_op(op, step)
    return {result.name: step.slots[result.slot] for result in step.plan.outputs}


def load_weights(stages: Stages, policy: DensePolicy) -> list[Any]:
    """Those of the plan, each as its ops read it."""
    return [_load(spec, stages.source, policy) for spec in stages.plan.weights]


def _load(spec: low.PlanWeight, source: PlanSource, policy: DensePolicy) -> Any:
    match spec:
        case low.MatrixWeight():
            return read_matrix(spec, source)
        case low.TableWeight(name=name):
            table = source.weight(name)
            values = table.decode()
            exact = isinstance(table, Dense) or lies_as_table(table, policy)
            if exact or dense_dtype(table, policy) == "float32":
                return values
            return bfloat16_to_float32(float32_to_bfloat16(values))
        case low.LookupFactors(name=name):
            return source.lookup_factors(name)
        case low.VectorWeight(name=name):
            return source.weight(name).decode()
        case low.ConstantWeight(values=constants):
            return np.asarray(constants, dtype=np.float32)
        case low.BiasWeight(columns=columns, parts=parts):
            bias = np.zeros(columns, dtype=np.float32)
            for part in parts:
                bias[part.columns] = source.weight(part.name).decode()
            return bias
