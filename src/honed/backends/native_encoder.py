"""The native executor as what runs an encoder: whole texts, each step by itself, without a KV cache.

A plan and an executor are made for each output that is asked for, so that none computes what nobody reads; weights that
plans have in common are packed once. Not here: plans and weights as the extension takes them (`native_plan.py`,
`native_weights.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from honed.backends.encoder import Output, TextBatch
from honed.backends.native_config import NativeConfig
from honed.backends.native_plan import native_plan
from honed.backends.native_weights import NativeWeights
from honed.backends.options import RunOptions
from honed.checkpoints.base import Checkpoint
from honed.errors import MachineError, NativeError, ParameterError
from honed.lazy_imports import numpy as np
from honed.models.base import EncoderModel
from honed.models.recorded import encoding
from honed.models.registry import read_encoder
from honed.native import extension
from honed.ops.values import TOKEN_TYPES, TOKENS
from honed.plan.build import Stages, plan_graph
from honed.plan.lowered import PlanWeight

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FIRST: Output = "mean"
"""What is made ready by loading: the mean, the first and the last row need the same weights."""


class NativeEncoder:
    """Implements `honed.backends.encoder.EncoderBackend`. Make one with `load`."""

    def __init__(self, model: EncoderModel, checkpoint: Checkpoint, config: NativeConfig) -> None:
        """Weights are packed as they are first needed; `load` does so at once."""
        self._model = model
        self._checkpoint = checkpoint
        self._config = config
        self._weights = NativeWeights(checkpoint, config.dtype, config.threads, keep=config.keep_packed)
        self._packed: dict[PlanWeight, extension.Weight] = {}
        self._executors: dict[Output, extension.Executor] = {}
        self._inputs: dict[Output, tuple[str, ...]] = {}
        self._selecting: set[Output] = set()

    @staticmethod
    def configure(options: RunOptions) -> NativeConfig:
        """What is asked for, as settings of this backend."""
        return NativeConfig(dtype=options.dtype, threads=options.threads, isa=options.isa)

    @staticmethod
    def load(
        checkpoint: Checkpoint, config: NativeConfig, meanwhile: Callable[[], None] | None = None
    ) -> NativeEncoder:
        """Plans the encoder and packs its weights. `meanwhile` and errors as of `NativeBackend.load`."""
        encoder = NativeEncoder(read_encoder(checkpoint.config, checkpoint.path), checkpoint, config)
        encoder._make(_FIRST, meanwhile)
        return encoder

    @property
    def name(self) -> str:
        return "native"

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
        return max(self._config.step_tokens, self.context)

    @property
    def isa(self) -> str:
        return self._executors[_FIRST].isa

    @property
    def threads(self) -> int:
        return self._executors[_FIRST].threads

    def encode(self, batch: TextBatch, output: Output) -> NDArray[np.float32]:
        """See `EncoderBackend`. Batches of more than `step_tokens` tokens: ParameterError."""
        if len(batch.tokens) > self.step_tokens:
            raise ParameterError("tokens of the batch", len(batch.tokens), f"must be at most {self.step_tokens}")
        if output not in self._executors:
            self._make(output, None)
        given = {TOKENS: batch.tokens, TOKEN_TYPES: batch.types}
        lengths = batch.lengths
        starts = np.repeat(np.cumsum(lengths, dtype=np.int32) - lengths, lengths)
        return self._executors[output].run(
            {name: given[name] for name in self._inputs[output]},
            np.arange(len(batch.tokens), dtype=np.int32) - starts.astype(np.int32),
            np.repeat(np.arange(len(lengths), dtype=np.int32), lengths),
            None,
            batch.selected_rows if output in self._selecting else None,
        )[output]

    def profile(self, batch: TextBatch, output: Output) -> list[tuple[str, float]]:
        """Runs a batch and gives (name, seconds) of each op in order."""
        self.encode(batch, output)
        executor = self._executors[output]
        executor.set_profiling(True)
        try:
            self.encode(batch, output)
            return executor.timings()
        finally:
            executor.set_profiling(False)

    def _make(self, output: Output, meanwhile: Callable[[], None] | None) -> None:
        """Makes ready what an output needs. UnsupportedError for one that the model has not."""
        stages = plan_graph(encoding(self._model, output), self._checkpoint, self._config.dtype, self._config.fusions)
        if self._packed:
            missing = [weight for weight in stages.plan.weights if weight not in self._packed]
            self._packed |= zip(missing, self._weights.pack(stages, missing), strict=True)
            executor = self._executor(stages)
        else:
            executor = self._weights.use(stages, lambda packed: self._first(stages, packed), meanwhile)
        self._executors[output] = executor
        if any(slot.rows == "selected" for slot in stages.plan.slots):
            self._selecting.add(output)
        given = (TOKENS, TOKEN_TYPES)
        self._inputs[output] = tuple(each.name for each in stages.plan.inputs if each.name in given)

    def _first(self, stages: Stages, packed: list[extension.Weight]) -> extension.Executor:
        """Of weights that other outputs may need too."""
        self._packed = dict(zip(stages.plan.weights, packed, strict=True))
        return self._executor(stages)

    def _executor(self, stages: Stages) -> extension.Executor:
        path, threads = self._checkpoint.path, self._config.threads or extension.default_threads()
        try:
            plan = native_plan(stages.plan, [self._packed[weight] for weight in stages.plan.weights])
        except ValueError as error:
            raise NativeError(f"{path}: the executor refuses the plan: {error}") from error
        try:
            return extension.Executor(plan, None, self.step_tokens, self.step_tokens, threads, self._config.isa)
        except ValueError as error:
            raise NativeError(f"the executor cannot be made: {error}") from error
        except RuntimeError as error:
            raise MachineError(f"the executor cannot be made: {error}") from error
        except MemoryError as error:
            raise NativeError(f"{path}: not enough memory for steps of {self.step_tokens} tokens") from error
