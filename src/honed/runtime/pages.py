"""Which sequence holds which page of the KV cache. Not here: the memory itself, which the backend owns."""

from __future__ import annotations

from collections.abc import Iterable

from honed.backends.base import PAGE_TOKENS


def pages_for(positions: int) -> int:
    """Pages that hold so many positions."""
    return -(-positions // PAGE_TOKENS)


class PageAllocator:
    """Hands out pages 0 to `pages` - 1. A page belongs to who allocated it until it is freed.

    The page freed last is handed out first: it is the likeliest to be in the CPU's cache, and memory that was never
    touched stays untouched.
    """

    def __init__(self, pages: int) -> None:
        self._pages = pages
        self._free = list(range(pages - 1, -1, -1))
        self._held: set[int] = set()

    @property
    def free_pages(self) -> int:
        """Pages that nobody holds."""
        return len(self._free)

    def can_allocate(self, count: int) -> bool:
        """Whether `allocate(count)` would succeed."""
        return count <= len(self._free)

    def allocate(self, count: int) -> list[int]:
        """`count` pages. Too few free: MemoryError, and nothing is taken; ask `can_allocate` first."""
        if not self.can_allocate(count):
            raise MemoryError(f"{count} KV pages asked for, {len(self._free)} of {self._pages} are free")
        taken = [self._free.pop() for _ in range(count)]
        self._held.update(taken)
        return taken

    def free(self, pages: Iterable[int]) -> None:
        """Gives pages back. One that is not held: ValueError, as it would then be handed out twice."""
        for page in pages:
            if page not in self._held:
                raise ValueError(f"KV page {page} is freed but not held")
            self._held.remove(page)
            self._free.append(page)

    def check_integrity(self) -> None:
        """AssertionError unless every page is either free once or held."""
        free = set(self._free)
        assert len(free) == len(self._free), "a page is free twice"
        assert not free & self._held, f"pages are free and held: {sorted(free & self._held)}"
        assert free | self._held == set(range(self._pages)), "pages were lost"
