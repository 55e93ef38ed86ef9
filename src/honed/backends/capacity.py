"""How large a KV cache is, in pages: the same rule for every backend that has one of its own."""

from __future__ import annotations

from honed.backends.base import PAGE_TOKENS
from honed.errors import ParameterError

DEFAULT_KV_TOKENS = 16384
MAX_KV_TOKENS = 1 << 27


def kv_pages(kv_tokens: int | None, context: int) -> int:
    """Pages for `kv_tokens` tokens, rounded up; None is the context of the model, at most DEFAULT_KV_TOKENS."""
    tokens = min(context, DEFAULT_KV_TOKENS) if kv_tokens is None else kv_tokens
    if not 1 <= tokens <= MAX_KV_TOKENS:
        raise ParameterError("kv_tokens", tokens, f"must be from 1 to {MAX_KV_TOKENS}")
    return -(-tokens // PAGE_TOKENS)


def check_step_tokens(step_tokens: int) -> None:
    if not 1 <= step_tokens <= 1 << 16:
        raise ParameterError("step_tokens", step_tokens, f"must be from 1 to {1 << 16}")
