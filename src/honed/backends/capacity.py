"""How large a KV cache is, in pages, which layers share them, and how long a step: the same rule for every backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from honed.backends.base import PAGE_TOKENS, PageGroup, span_pages
from honed.backends.options import RunOptions
from honed.errors import ParameterError
from honed.lazy_imports import numpy as np
from honed.ops.graph import Graph
from honed.ops.table import Attention
from honed.records import dataclass

if TYPE_CHECKING:
    from numpy.typing import NDArray

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


@dataclass(frozen=True)
class CacheGroups:
    """How the caches of a model share pages. groups: as `Backend.page_groups`. of_cache: the group of each cache."""

    groups: tuple[PageGroup, ...]
    of_cache: tuple[int, ...]


def cache_groups(graph: Graph, pages: int, step_tokens: int, sequences: int | None) -> CacheGroups:
    """A group for each window that layers have, the furthest first, which gets `pages`.

    Of a smaller window a sequence holds few pages, however long it is. sequences: that the cache is made for; such a
    group then has what these need, or a quarter of `pages` where that is more, for shorter ones. None: nobody said; it
    has as many as the first one, and uses no more than one sequence needs while no others want them.
    """
    windows = _windows(graph)
    furthest = sorted(set(windows), key=lambda window: (window is not None, -(window or 0)))
    groups = [PageGroup(pages, furthest[0])]
    for window in furthest[1:]:
        assert window is not None  # there is one entry without a window at most, the first
        needed = min(pages, window_pages(window, step_tokens, sequences or 1))
        if sequences is None:
            groups.append(PageGroup(pages, window, enough=needed))
        else:
            groups.append(PageGroup(max(needed, pages // 4), window))
    return CacheGroups(tuple(groups), tuple(furthest.index(window) for window in windows))


def window_pages(window: int, step_tokens: int, sequences: int) -> int:
    """Pages that hold what the rows of a step see of so many sequences, and the rows."""
    return sequences * span_pages(window) + -(-step_tokens // PAGE_TOKENS)


def made_for(options: RunOptions) -> int | None:
    """Sequences that the cache is made for, None where nobody said."""
    return None if options.context is None else options.sequences


def ring_tables(groups: Sequence[PageGroup], positions: int) -> NDArray[np.int32]:
    """Page tables of the only sequence of a cache, as `Batch` has them: in a group with fewer pages than it needs for
    all positions they are used in turn. Rows are to come in ascending position, at most `step_tokens` at once."""
    pages = np.arange(-(-positions // PAGE_TOKENS), dtype=np.int32)
    tables = [pages[None, :] % np.int32(group.pages) for group in groups]
    return tables[0] if len(groups) == 1 else np.stack(tables)


def _windows(graph: Graph) -> list[int | None]:
    """Of each cache, how many keys a row sees, its own included; None: all. What lies further behind is never read
    again: the engine gives its pages to others."""
    found: dict[int, int | None] = {}
    for attention in graph.operations(Attention):
        if attention.cache is not None:
            before = attention.spec.before
            found[attention.cache] = None if before is None else before + 1
    return [found[cache] for cache in sorted(found)]
