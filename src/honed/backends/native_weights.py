"""The weights of a plan as kernels read them: mapped from the cache of packed ones where it has them, else packed.

Not here: how one weight is packed (`packing.py`), and the cache (`packed_cache.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from honed.backends.packed_cache import PackedCache, PackedFile, packed_cache
from honed.backends.prepacked import from_bytes, to_bytes
from honed.checkpoints.base import Checkpoint, Checksummed
from honed.errors import MachineError
from honed.native import extension
from honed.plan.build import Stages
from honed.plan.formats import DensePolicy
from honed.plan.lowered import LoweredPlan, PlanWeight
from honed.records import dataclass

Made = TypeVar("Made")


@dataclass(frozen=True)
class NativeWeights:
    """Those of one checkpoint. threads: that pack, None for all; keep: packed ones are kept on disk and found again."""

    checkpoint: Checkpoint
    policy: DensePolicy
    threads: int | None
    keep: bool

    def use(
        self,
        stages: Stages,
        make: Callable[[list[extension.Weight]], Made],
        meanwhile: Callable[[], None] | None = None,
    ) -> Made:
        """What `make` gives for the weights of a plan, in its order. Called again where those on disk were damaged.

        `meanwhile` is called once what is left (packing, or a checksum) lets other threads of Python run. Errors:
        MachineError where memory or threads run out, and those of the checkpoint.
        """
        cache = packed_cache(self.checkpoint, stages.plan.weights, self.policy) if self.keep else None
        kept = None if cache is None else self._kept(cache, stages)
        if cache is not None and kept is not None:
            made = make(kept.weights)
            if meanwhile is not None:
                meanwhile()
            if kept.file.is_intact():
                return made
            cache.remove()
        elif meanwhile is not None:
            meanwhile()
        weights = self.pack(stages, stages.plan.weights)
        if cache is not None and self._is_unchanged(cache, stages.plan):
            cache.store(to_bytes(stages.plan.weights, weights, stages.source, self.policy))
        return make(weights)

    def pack(self, stages: Stages, specs: Sequence[PlanWeight]) -> list[extension.Weight]:
        """Some of the weights of a plan, which are neither looked for on disk nor kept. Errors as of `use`."""
        from honed.backends.packing import Packer  # a start that finds its weights packed does without

        path, threads = self.checkpoint.path, self.threads or extension.default_threads()
        try:
            return Packer(self.checkpoint, stages.source, self.policy).pack_all(specs, threads)
        except MemoryError as error:
            raise MachineError(f"{path}: not enough memory for the packed weights") from error
        except RuntimeError as error:  # the words of threads that the system does not give
            raise MachineError(f"{path}: the weights cannot be packed: {error}") from error

    def _kept(self, cache: PackedCache, stages: Stages) -> _Kept | None:
        """Weights over the file in the cache, which is still being checked; None if there is none that fits."""
        file = cache.open()
        if file is None:
            return None
        try:
            return _Kept(from_bytes(stages.plan.weights, file.arrays, stages.source, self.policy), file)
        except ValueError:
            return None

    def _is_unchanged(self, cache: PackedCache, plan: LoweredPlan) -> bool:
        """Whether what was packed is what the cache would name. ArtifactError for an artifact that was changed."""
        if isinstance(self.checkpoint, Checksummed):
            self.checkpoint.verify()
        now = packed_cache(self.checkpoint, plan.weights, self.policy)
        return now is not None and now.key == cache.key


@dataclass(frozen=True)
class _Kept:
    weights: list[extension.Weight]
    file: PackedFile
