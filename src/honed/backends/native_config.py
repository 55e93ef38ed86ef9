"""How the native executor runs a checkpoint. Not here: what users say (`options.py`), and what is made of it."""

from __future__ import annotations

from typing import get_args

from honed.backends.capacity import STEP_TOKENS, check_step_tokens
from honed.backends.options import MAX_THREADS
from honed.errors import ParameterError
from honed.native import extension
from honed.plan.build import ALL_FUSIONS
from honed.plan.formats import DensePolicy, KvPolicy
from honed.records import dataclass


@dataclass(frozen=True)
class NativeConfig:
    """How a checkpoint is run.

    dtype: of weights that are not run quantized (`plan.formats.DensePolicy`).
    threads: None for the CPUs that affinity and the cgroup quota allow.
    kv_dtype: of the KV cache: float32, bfloat16, int8 (a scale for each head of a token), or auto, which is float32
        where every matrix is multiplied in float32 and bfloat16 elsewhere.
    isa: instruction set, None for the best one (or the one that HONED_ISA names).
    kv_tokens: capacity of the KV cache in tokens, None for the context of the model up to 16384.
    sequences: that the cache is made for (`capacity.cache_groups`), None where nobody said.
    step_tokens: most tokens of one batch.
    selected: most logits rows of one run of the executor; a batch that asks for more is run in pieces, with the same
        results to the bit. Tokens are chosen of as many at most: 64 sequences with three proposed tokens each.
    keep_packed: packed weights are kept on disk and found there again (`packed_cache.py`).
    fusions: names of those to apply; none of them changes a bit of any result.
    """

    dtype: DensePolicy = "auto"
    kv_dtype: KvPolicy = "auto"
    threads: int | None = None
    isa: str | None = None
    kv_tokens: int | None = None
    sequences: int | None = None
    step_tokens: int = STEP_TOKENS
    selected: int = 256
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
