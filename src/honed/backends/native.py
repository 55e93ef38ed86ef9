"""The native executor as a backend: a checkpoint planned, packed and run by the extension."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from honed.backends.base import PAGE_TOKENS, Batch, Choice, PageGroup, PlainBatch, RowChoice
from honed.backends.capacity import CacheGroups, cache_groups, kv_pages, made_for
from honed.backends.kv_cache import kv_dtype
from honed.backends.native_choices import told
from honed.backends.native_config import NativeConfig
from honed.backends.native_plan import cache_shapes, native_plan
from honed.backends.native_weights import NativeWeights
from honed.backends.options import RunOptions
from honed.checkpoints.base import Checkpoint
from honed.errors import MachineError, NativeError, ParameterError
from honed.lazy_imports import numpy as np
from honed.models.base import DecoderModel
from honed.models.programs import LOGITS
from honed.models.recorded import recorded
from honed.models.registry import read_model
from honed.native import extension
from honed.ops.values import TOKENS
from honed.plan.build import build_plan
from honed.plan.formats import KvDtype
from honed.plan.lowered import LoweredPlan

if TYPE_CHECKING:
    from numpy.typing import NDArray


class NativeBackend:
    """Implements `honed.backends.base.ChoosingBackend`. Make one with `load`."""

    def __init__(
        self,
        executor: extension.Executor,
        cache: extension.Cache,
        plan: extension.Plan,
        model: DecoderModel,
        *,
        groups: CacheGroups,
        config: NativeConfig,
    ) -> None:
        self._executor = executor
        self._cache = cache
        self._plan = plan
        self._size = model.dimensions
        self._groups = groups
        self._config = config

    @staticmethod
    def configure(options: RunOptions, kv_tokens: int | None) -> NativeConfig:
        """What is asked for, as settings of this backend."""
        return NativeConfig(
            dtype=options.dtype,
            kv_dtype=options.kv,
            threads=options.threads,
            isa=options.isa,
            kv_tokens=kv_tokens,
            sequences=made_for(options),
        )

    @staticmethod
    def load(
        checkpoint: Checkpoint, config: NativeConfig, meanwhile: Callable[[], None] | None = None
    ) -> NativeBackend:
        """Plans the model of the checkpoint, packs its weights and makes an executor with an empty cache.

        `meanwhile` is called once what is left (packing, or a checksum) lets other threads of Python run.

        Errors: UnsupportedError and FormatError for a model or weight that cannot be run, naming it; NativeError
        where the extension refuses the plan, HONED_ISA names no set of this machine, or memory runs out; MachineError
        where the system gives fewer threads than are asked for.
        """
        model = read_model(checkpoint.config, checkpoint.path)
        kv_pages(config.kv_tokens, model.dimensions.context)  # a wrong number is refused before any work
        stages = build_plan(model, checkpoint, config.dtype, config.fusions)
        weights = NativeWeights(checkpoint, config.dtype, config.threads, keep=config.keep_packed)
        return weights.use(
            stages, lambda packed: NativeBackend._make(checkpoint.path, stages.plan, packed, model, config), meanwhile
        )

    @staticmethod
    def _make(
        path: Path,
        lowered: LoweredPlan,
        weights: list[extension.Weight],
        model: DecoderModel,
        config: NativeConfig,
    ) -> NativeBackend:
        pages = kv_pages(config.kv_tokens, model.dimensions.context)
        groups = cache_groups(recorded(model), pages, config.step_tokens, config.sequences)
        threads = config.threads or extension.default_threads()
        try:
            plan = native_plan(lowered, weights)
        except ValueError as error:
            raise NativeError(f"{path}: the executor refuses the plan: {error}") from error
        try:
            cache = extension.Cache(
                cache_shapes(lowered),
                [group.pages for group in groups.groups],
                kv_dtype(lowered, config.kv_dtype),
                list(groups.of_cache),
            )
            executor = extension.Executor(
                plan, cache, config.step_tokens, min(config.selected, config.step_tokens), threads, config.isa
            )
        except ValueError as error:
            raise NativeError(f"the executor cannot be made: {error}") from error
        except RuntimeError as error:
            raise MachineError(f"the executor cannot be made: {error}") from error
        except MemoryError as error:
            raise NativeError(
                f"{path}: not enough memory for a KV cache of {pages * PAGE_TOKENS} tokens; ask for fewer"
            ) from error
        return NativeBackend(executor, cache, plan, model, groups=groups, config=config)

    @property
    def name(self) -> str:
        return "native"

    @property
    def vocabulary(self) -> int:
        return self._size.vocabulary

    @property
    def context(self) -> int:
        return self._size.context

    @property
    def pages(self) -> int:
        return self._groups.groups[0].pages

    @property
    def page_groups(self) -> tuple[PageGroup, ...]:
        return self._groups.groups

    @property
    def step_tokens(self) -> int:
        return self._config.step_tokens

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights of the plan, a mapped embedding table included."""
        return self._plan.weight_bytes

    @property
    def kv_dtype(self) -> KvDtype:
        """Type of the KV cache."""
        return self._cache.dtype

    @property
    def isa(self) -> str:
        return self._executor.isa

    @property
    def threads(self) -> int:
        return self._executor.threads

    def forward(self, batch: Batch) -> NDArray[np.float32]:
        """Logits [R, vocabulary]. Batches of more than `step_tokens` tokens: ParameterError."""
        if len(batch.tokens) > self.step_tokens:
            raise ParameterError("tokens of the batch", len(batch.tokens), f"must be at most {self.step_tokens}")
        limit = self.choices
        if len(batch.selected) <= limit:
            return self._run(batch)
        logits = np.empty((len(batch.selected), self.vocabulary), dtype=np.float32)
        begin = 0
        for start in range(0, len(batch.selected), limit):
            chosen = batch.selected[start : start + limit]
            last = start + limit >= len(batch.selected)
            end = len(batch.tokens) if last else int(chosen[-1]) + 1
            logits[start : start + limit] = self._run(
                Batch(
                    tokens=batch.tokens[begin:end],
                    positions=batch.positions[begin:end],
                    sequences=batch.sequences[begin:end],
                    page_tables=batch.page_tables,
                    selected=chosen - np.int32(begin),
                )
            )
            begin = end
        return logits

    @property
    def choices(self) -> int:
        """See `ChoosingBackend`."""
        return min(self._config.selected, self.step_tokens)

    def compute(self, batch: Batch | PlainBatch) -> None:
        """See `ChoosingBackend`. More rows than it says, or tokens than `step_tokens`: ParameterError."""
        if len(batch.tokens) > self.step_tokens:
            raise ParameterError("tokens of the batch", len(batch.tokens), f"must be at most {self.step_tokens}")
        if len(batch.selected) > self.choices:
            raise ParameterError("selected rows of the batch", len(batch.selected), f"must be at most {self.choices}")
        self._executor.compute(
            {TOKENS: batch.tokens}, batch.positions, batch.sequences, batch.page_tables, batch.selected
        )

    def choose(self, rows: Sequence[RowChoice]) -> list[Choice]:
        """See `ChoosingBackend`. A row a task, on all threads, without Python's lock."""
        tokens, others = self._executor.choose(rows)
        choices = [Choice(token, None, None) for token in tokens]
        for row, outcome in others.items():
            choices[row] = told(tokens[row], outcome, self.vocabulary)
        return choices

    def _run(self, batch: Batch) -> NDArray[np.float32]:
        return self._executor.run(
            {TOKENS: batch.tokens}, batch.positions, batch.sequences, batch.page_tables, batch.selected
        )[LOGITS]

    def profile(self, batch: Batch) -> list[tuple[str, float]]:
        """Runs a batch and gives (name, seconds) of each op in order."""
        self._executor.set_profiling(True)
        try:
            self._run(batch)
            return self._executor.timings()
        finally:
            self._executor.set_profiling(False)
