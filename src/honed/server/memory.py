"""What models take of the memory: their files and their KV caches; and how large a cache there is room for."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace

from honed.backends.base import PAGE_TOKENS
from honed.backends.capacity import DEFAULT_KV_TOKENS, STEP_TOKENS, cache_groups
from honed.backends.free_memory import free_memory
from honed.backends.kv_cache import kv_bytes, kv_dtype
from honed.backends.options import RunOptions
from honed.checkpoints.base import Checkpoint
from honed.checkpoints.open import open_checkpoint
from honed.models.base import DecoderModel
from honed.models.registry import is_encoder, read_model
from honed.plan.build import build_plan

KV_SHARE = 0.25
"""Of the memory that is free once the weights are there."""
MOST_KV_TOKENS = 1 << 17
"""64 sequences of 2048 tokens: what one machine of this kind decodes together."""
LEAST_KV_TOKENS = 512


@dataclass(frozen=True)
class Footprint:
    """Of one model with its cache. kv_tokens: of all sequences together, 0 for an encoder."""

    run: RunOptions
    weight_bytes: int
    kv_tokens: int
    kv_bytes: int

    @property
    def bytes(self) -> int:
        """All of it."""
        return self.weight_bytes + self.kv_bytes


def footprint(source: str, run: RunOptions, free: int | None = None) -> Footprint:
    """How a model is run here: with the cache that was asked for, or one that a share of the free memory holds.

    free: bytes, None for what this machine has. Reads headers only, and downloads what is not there. Errors: those of
    `open_checkpoint` and of the model's config.
    """
    checkpoint = open_checkpoint(source)
    weights = sum(path.stat().st_size for path in checkpoint.files)
    if is_encoder(checkpoint.config):
        return Footprint(replace(run, kv="auto", context=None, sequences=1), weights, 0, 0)
    model = read_model(checkpoint.config, checkpoint.path)
    size = _cache_sizes(checkpoint, model, run)
    made_for = model.dimensions.context
    if run.context is not None:
        tokens = _whole_pages(run.context) * run.sequences
        return Footprint(run, weights, tokens, size(run.context, run.sequences))
    context = min(made_for, DEFAULT_KV_TOKENS)
    left = (free_memory() if free is None else free) - weights
    room = int(left * KV_SHARE)
    if size(context, 1) > room:
        shorter = range(PAGE_TOKENS, context, PAGE_TOKENS)
        pages = bisect_right(shorter, room, key=lambda tokens: size(tokens, 1))
        context = max(pages * PAGE_TOKENS, min(LEAST_KV_TOKENS, context))
    most = range(1, MOST_KV_TOKENS // _whole_pages(context) + 1)
    sequences = max(1, bisect_right(most, room, key=lambda count: size(context, count)))
    tokens = _whole_pages(context) * sequences
    return Footprint(replace(run, context=context, sequences=sequences), weights, tokens, size(context, sequences))


def _whole_pages(context: int) -> int:
    """Tokens that a sequence of this length has room for."""
    return -(-context // PAGE_TOKENS) * PAGE_TOKENS


def _cache_sizes(checkpoint: Checkpoint, model: DecoderModel, run: RunOptions) -> Callable[[int, int], int]:
    """Bytes of a cache for a context and so many sequences of it, as the backend makes it."""
    stages = build_plan(model, checkpoint, run.dtype)
    dtype = kv_dtype(stages.plan, run.kv)

    def size(context: int, sequences: int) -> int:
        pages = _whole_pages(context) // PAGE_TOKENS * sequences
        return kv_bytes(stages.plan, cache_groups(stages.recorded, pages, STEP_TOKENS, sequences), dtype)

    return size
