"""The native executor as a backend: a checkpoint planned, packed and run by the extension."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from honed.backends.base import PAGE_TOKENS, Batch, PlainBatch
from honed.backends.capacity import check_step_tokens, kv_pages
from honed.backends.kv_cache import kv_dtype
from honed.backends.packed_cache import PackedCache, PackedFile, packed_cache
from honed.backends.prepacked import from_bytes, to_bytes
from honed.checkpoints.base import Checkpoint, Checksummed
from honed.errors import NativeError, ParameterError
from honed.later import numpy as np
from honed.models.base import Dimensions
from honed.models.registry import read_model
from honed.native import extension
from honed.plan.build import ALL_FUSIONS, Stages, build_plan
from honed.plan.formats import DensePolicy, KvDtype, KvPolicy
from honed.plan.lowered import LoweredPlan
from honed.records import dataclass

if TYPE_CHECKING:
    from numpy.typing import NDArray


MAX_THREADS = 1024


@dataclass(frozen=True)
class NativeConfig:
    """How a checkpoint is run.

    dtype: of weights that are not run quantized (`plan.formats.DensePolicy`).
    threads: None for the CPUs that affinity and the cgroup quota allow.
    kv_dtype: of the KV cache: float32, bfloat16, int8 (a scale for each head of a token), or auto, which is float32
        where every matrix is multiplied in float32 and bfloat16 elsewhere.
    isa: instruction set, None for the best one (or the one that HONED_ISA names).
    kv_tokens: capacity of the KV cache in tokens, None for the context of the model up to 16384.
    step_tokens: most tokens of one batch.
    selected: most logits rows of one run of the executor; a batch that asks for more is run in pieces, with the same
        results to the bit.
    keep_packed: packed weights are kept on disk and found there again (`packed_cache.py`).
    fusions: names of those to apply; none of them changes a bit of any result.
    """

    dtype: DensePolicy = "auto"
    kv_dtype: KvPolicy = "auto"
    threads: int | None = None
    isa: str | None = None
    kv_tokens: int | None = None
    step_tokens: int = 512
    selected: int = 64
    keep_packed: bool = True
    fusions: tuple[str, ...] = ALL_FUSIONS

    def __post_init__(self) -> None:
        if self.dtype not in ("auto", "float32", "bfloat16"):
            raise ParameterError("dtype", self.dtype, "must be auto, float32 or bfloat16")
        if self.kv_dtype not in get_args(KvPolicy):
            raise ParameterError("kv_dtype", self.kv_dtype, f"must be one of {', '.join(get_args(KvPolicy))}")
        if self.threads is not None and not 1 <= self.threads <= MAX_THREADS:
            raise ParameterError("threads", self.threads, f"must be from 1 to {MAX_THREADS}")
        if self.isa is not None and self.isa not in extension.isas():
            raise ParameterError("isa", self.isa, f"this machine has {', '.join(extension.isas())}")
        if not 1 <= self.selected <= 1 << 16:
            raise ParameterError("selected", self.selected, f"must be from 1 to {1 << 16}")
        check_step_tokens(self.step_tokens)


class NativeBackend:
    """Implements `honed.backends.base.GreedyBackend`. Make one with `load`."""

    def __init__(
        self,
        executor: extension.Executor,
        cache: extension.Cache,
        plan: extension.Plan,
        size: Dimensions,
        config: NativeConfig,
    ) -> None:
        self._executor = executor
        self._cache = cache
        self._plan = plan
        self._size = size
        self._config = config

    @staticmethod
    def load(
        checkpoint: Checkpoint, config: NativeConfig, meanwhile: Callable[[], None] | None = None
    ) -> NativeBackend:
        """Plans the model of the checkpoint, packs its weights and makes an executor with an empty cache.

        `meanwhile` is called once what is left (packing, or a checksum) lets other threads of Python run.

        Errors: UnsupportedError and FormatError for a model or weight that cannot be run, naming it; NativeError
        where the extension refuses the plan, HONED_ISA names no set of this machine, or memory runs out.
        """
        model = read_model(checkpoint.config, checkpoint.path)
        size = model.dimensions
        kv_pages(config.kv_tokens, size.context)  # a wrong number is refused before any work
        stages = build_plan(model, checkpoint, config.dtype, config.fusions)
        threads = config.threads or extension.default_threads()
        cache = packed_cache(checkpoint, stages.plan.weights, config.dtype) if config.keep_packed else None
        kept = None if cache is None else _kept_weights(cache, stages, config.dtype)
        if cache is not None and kept is not None:
            backend = NativeBackend._make(checkpoint.path, stages.plan, kept.weights, size, config)
            if meanwhile is not None:
                meanwhile()
            if kept.file.is_intact():
                return backend
            cache.remove()
        elif meanwhile is not None:
            meanwhile()
        from honed.backends.packing import Packer  # a start that finds its weights packed does without

        weights = Packer(checkpoint, stages.source, config.dtype).pack_all(stages.plan.weights, threads)
        if cache is not None and _is_unchanged(checkpoint, cache, stages.plan, config.dtype):
            cache.store(to_bytes(stages.plan.weights, weights, stages.source, config.dtype))
        return NativeBackend._make(checkpoint.path, stages.plan, weights, size, config)

    @staticmethod
    def _make(
        path: Path,
        lowered: LoweredPlan,
        weights: list[extension.Weight],
        size: Dimensions,
        config: NativeConfig,
    ) -> NativeBackend:
        pages = kv_pages(config.kv_tokens, size.context)
        threads = config.threads or extension.default_threads()
        try:
            plan = native_plan(lowered, weights)
        except ValueError as error:
            raise NativeError(f"{path}: the executor refuses the plan: {error}") from error
        try:
            cache = extension.Cache(
                size.layers, size.kv_heads, size.head_dim, pages, kv_dtype(lowered, config.kv_dtype)
            )
            executor = extension.Executor(
                plan, cache, config.step_tokens, min(config.selected, config.step_tokens), threads, config.isa
            )
        except ValueError as error:
            raise NativeError(f"the executor cannot be made: {error}") from error
        except MemoryError as error:
            raise NativeError(
                f"{path}: not enough memory for a KV cache of {pages * PAGE_TOKENS} tokens; ask for fewer"
            ) from error
        return NativeBackend(executor, cache, plan, size, config)

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
        return self._cache.pages

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
        limit = min(self._config.selected, self.step_tokens)
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

    def greedy(self, batch: Batch | PlainBatch) -> list[int] | None:
        """See `GreedyBackend`. The logits are compared where they were computed, on all threads."""
        if len(batch.tokens) > self.step_tokens or len(batch.selected) > min(self._config.selected, self.step_tokens):
            return None
        return self._executor.run_greedy(
            batch.tokens, batch.positions, batch.sequences, batch.page_tables, batch.selected
        )

    def _run(self, batch: Batch) -> NDArray[np.float32]:
        return self._executor.run(batch.tokens, batch.positions, batch.sequences, batch.page_tables, batch.selected)

    def profile(self, batch: Batch) -> list[tuple[str, float]]:
        """Runs a batch and gives (op code, seconds) of each op in order."""
        self._executor.set_profiling(True)
        try:
            self._run(batch)
            return self._executor.timings()
        finally:
            self._executor.set_profiling(False)


@dataclass(frozen=True)
class _Kept:
    weights: list[extension.Weight]
    file: PackedFile


def _kept_weights(cache: PackedCache, stages: Stages, policy: DensePolicy) -> _Kept | None:
    """Weights over the file in the cache, which is still being checked; None if there is none that fits the plan."""
    file = cache.open()
    if file is None:
        return None
    try:
        return _Kept(from_bytes(stages.plan.weights, file.arrays, stages.source, policy), file)
    except ValueError:
        return None


def _is_unchanged(checkpoint: Checkpoint, cache: PackedCache, plan: LoweredPlan, policy: DensePolicy) -> bool:
    """Whether what was packed is what the cache would name. ArtifactError for an artifact that was changed."""
    if isinstance(checkpoint, Checksummed):
        checkpoint.verify()
    now = packed_cache(checkpoint, plan.weights, policy)
    return now is not None and now.key == cache.key


def native_plan(plan: LoweredPlan, weights: list[extension.Weight]) -> extension.Plan:
    """The records of a lowered plan handed to the extension, which validates them (ValueError)."""
    records = [op.record() for op in plan.ops]
    return extension.Plan(
        ops=[extension.Op(r.code, r.input, r.output, list(r.weights), list(r.sizes), list(r.scalars)) for r in records],
        slots=[
            extension.Slot(
                "quantized" if slot.quantized else "f32", slot.rows, slot.width, slot.activation_group, slot.stretch
            )
            for slot in plan.slots
        ],
        weights=weights,
        layers=plan.layers,
        kv_heads=plan.kv_heads,
        head_dim=plan.head_dim,
        vocabulary=plan.vocabulary,
        logits=plan.logits,
    )
