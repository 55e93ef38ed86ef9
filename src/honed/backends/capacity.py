"""How large a KV cache is, in pages, and how long a step: the same rule for every backend."""

from __future__ import annotations

from honed.backends.base import PAGE_TOKENS
from honed.backends.options import RunOptions
from honed.errors import ParameterError
from honed.ops.graph import Graph
from honed.ops.table import Attention

DEFAULT_KV_TOKENS = 16384
MAX_KV_TOKENS = 1 << 27
STEP_TOKENS = 512
"""Token rows of one step at most, where nobody says otherwise."""


def cache_tokens(options: RunOptions, made_for: int) -> int | None:
    """Tokens of the KV cache for all sequences together; None is the backend's own choice. `made_for`: the context of
    the model, which bounds the one that is asked for: ParameterError."""
    context = options.context
    if context is not None and not 1 <= context <= made_for:
        raise ParameterError("context", context, f"must be from 1 to {made_for}, which this model was made for")
    if options.sequences == 1 or context is None:
        return context
    # Each sequence holds whole pages.
    return -(-context // PAGE_TOKENS) * PAGE_TOKENS * options.sequences


def kv_pages(kv_tokens: int | None, context: int) -> int:
    """Pages for `kv_tokens` tokens, rounded up; None is the context of the model, at most DEFAULT_KV_TOKENS."""
    tokens = min(context, DEFAULT_KV_TOKENS) if kv_tokens is None else kv_tokens
    if not 1 <= tokens <= MAX_KV_TOKENS:
        raise ParameterError("kv_tokens", tokens, f"must be from 1 to {MAX_KV_TOKENS}")
    return -(-tokens // PAGE_TOKENS)


def check_step_tokens(step_tokens: int) -> None:
    if not 1 <= step_tokens <= 1 << 16:
        raise ParameterError("step_tokens", step_tokens, f"must be from 1 to {1 << 16}")


def seen_keys(graph: Graph) -> int | None:
    """Keys of a cache that a row sees in the layer that sees most, its own included; None where some see all.

    What lies further behind is never read again: the engine gives its pages to others.
    """
    behind = [attention.spec.before for attention in graph.operations(Attention) if attention.cache is not None]
    windows = [before + 1 for before in behind if before is not None]
    return max(windows) if windows and len(windows) == len(behind) else None
