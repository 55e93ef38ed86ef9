"""Which pages of the KV cache are held, which are kept for the prefix cache, and which are free. Not here: the memory
itself, which the backend owns, and whose tokens stand in a page (`prefix.py`).

A page is in one of three states:

    free:    its contents are nothing
    held:    by one sequence or more
    cached:  held by nobody, its contents kept under their digest until the page is wanted; counts as free

Only complete pages have a digest, and a complete page is never written again: the rows of a sequence are computed
in ascending position. So pages are shared without copy on write.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterable

from honed.backends.base import PAGE_TOKENS


def pages_for(positions: int) -> int:
    """Pages that hold so many positions."""
    return -(-positions // PAGE_TOKENS)


def first_seen(position: int, window: int) -> int:
    """The number of the first page that a row sees: `window` keys, its own included."""
    return max(0, position - window + 1) // PAGE_TOKENS


class PageAllocator:
    """Hands out pages 0 to `pages` - 1, and counts who holds them.

    The page freed last is handed out first: it is the likeliest to be in the CPU's cache, and memory that was never
    touched stays untouched. Cached pages go last, the least recently used of them first; but where `enough` is given,
    before a page is used that makes them more than so many, held and cached together.
    """

    def __init__(self, pages: int, enough: int | None = None) -> None:
        self._pages = pages
        self._least_free = 0 if enough is None else pages - enough
        self._free = list(range(pages - 1, -1, -1))
        self._holders = [0] * pages
        self._digest: list[bytes | None] = [None] * pages
        self._by_digest: dict[bytes, int] = {}
        # Of this class for the sake of its first entry, which a dict finds slowly once many before it are gone.
        self._cached: OrderedDict[int, None] = OrderedDict()
        self.evictions = 0
        """Cached pages whose contents were given up for new ones."""

    @property
    def free_pages(self) -> int:
        """Pages that nobody holds, cached ones included."""
        return len(self._free) + len(self._cached)

    @property
    def cached_pages(self) -> int:
        """Pages that nobody holds and whose contents are kept."""
        return len(self._cached)

    def can_allocate(self, count: int) -> bool:
        """Whether `allocate(count)` would succeed."""
        return count <= len(self._free) + len(self._cached)

    def allocate(self, count: int) -> list[int]:
        """`count` pages, held once. Too few free: MemoryError, and nothing is taken; ask `can_allocate` first."""
        if not self.can_allocate(count):
            raise MemoryError(f"{count} KV pages asked for, {self.free_pages} of {self._pages} are free")
        least = self._least_free
        taken = [self._evict() if len(self._free) <= least and self._cached else self._free.pop() for _ in range(count)]
        for page in taken:
            self._holders[page] = 1
        return taken

    def free(self, pages: Iterable[int]) -> None:
        """Gives pages back, each for one holder. Of those that stay cached the first one is evicted first, so give the
        last pages of a sequence first. One that is not held: ValueError, as it would then be handed out twice."""
        for page in pages:
            if not self._holders[page]:
                raise ValueError(f"KV page {page} is freed but not held")
            self._holders[page] -= 1
            if self._holders[page]:
                continue
            if self._digest[page] is None:
                self._free.append(page)
            else:
                self._cached[page] = None

    def publish(self, page: int, digest: bytes) -> int:
        """Keeps the contents of a page that is held and complete under their digest.

        The page that has them from now on: another one where they are there already. Its holder then holds that one
        instead, and the page is free.
        """
        kept = self._by_digest.setdefault(digest, page)
        if kept != page:
            self.hold((kept,))
            self.free((page,))
        else:
            self._digest[page] = digest
        return kept

    def find(self, digest: bytes) -> int | None:
        """The page that has these contents."""
        return self._by_digest.get(digest)

    def hold(self, pages: Iterable[int]) -> None:
        """One more holder for pages that have a digest."""
        for page in pages:
            self._holders[page] += 1
            self._cached.pop(page, None)

    def unheld(self, pages: Iterable[int]) -> int:
        """How many of these pages, which have a digest, count as free."""
        return sum(page in self._cached for page in pages)

    def forget(self) -> None:
        """Nothing that is cached is found again. Nobody may hold a page that has a digest."""
        if len(self._cached) != len(self._by_digest):
            raise ValueError("the contents of KV pages are forgotten, of which some are held")
        # Those that would have been evicted last are handed out first.
        self._free.extend(self._cached)
        for page in self._cached:
            self._digest[page] = None
        self._by_digest.clear()
        self._cached.clear()

    def is_private(self, page: int) -> bool:
        """Whether it may be written: one sequence holds it and nobody can find it."""
        return self._holders[page] == 1 and self._digest[page] is None

    def check_integrity(self, held: Iterable[int] | None = None) -> None:
        """AssertionError unless every page is free once, cached or held. `held`: the pages of all holders together, a
        page as often as it is held."""
        free, cached = set(self._free), set(self._cached)
        assert len(free) == len(self._free), "a page is free twice"
        assert all(holders >= 0 for holders in self._holders), "a page has less than no holder"
        in_hand = {page for page, holders in enumerate(self._holders) if holders}
        assert not (free | cached) & in_hand, f"pages are free and held: {sorted((free | cached) & in_hand)}"
        assert not free & cached, f"pages are free and cached: {sorted(free & cached)}"
        assert free | cached | in_hand == set(range(self._pages)), "pages were lost"
        known = {page: digest for page, digest in enumerate(self._digest) if digest is not None}
        assert {digest: page for page, digest in known.items()} == self._by_digest, (
            "a digest leads to no page of its own"
        )
        assert cached <= known.keys(), "a cached page has no digest"
        assert not free & known.keys(), "a free page has a digest"
        if held is not None:
            counts = [0] * self._pages
            for page in held:
                counts[page] += 1
            assert counts == self._holders, "the holders of a page were miscounted"

    def _evict(self) -> int:
        page, _ = self._cached.popitem(last=False)
        digest = self._digest[page]
        assert digest is not None
        del self._by_digest[digest]
        self._digest[page] = None
        self.evictions += 1
        return page


def replace_released(allocator: PageAllocator, pages: array[int], released: int, unseen: int) -> int:
    """Frees the entries of a page table from `released` to `unseen`, which no row will read. What is released then."""
    if unseen <= released:
        return released
    allocator.free(pages[released:unseen])
    # 0 is a page that always exists.
    pages[released:unseen] = array("i", bytes(4 * (unseen - released)))
    return unseen
