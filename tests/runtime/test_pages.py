from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.runtime.pages import PageAllocator, pages_for


@pytest.mark.parametrize(("positions", "pages"), [(0, 0), (1, 1), (32, 1), (33, 2), (64, 2)])
def test_pages_for(positions: int, pages: int) -> None:
    assert pages_for(positions) == pages


@settings(deadline=None, max_examples=100, derandomize=True)
@given(st.integers(1, 20), st.lists(st.tuples(st.booleans(), st.integers(0, 8)), max_size=40))
def test_pages_are_never_lost_or_shared(pages: int, steps: list[tuple[bool, int]]) -> None:
    allocator = PageAllocator(pages)
    held: list[list[int]] = []
    for allocates, number in steps:
        if allocates:
            free = allocator.free_pages
            if allocator.can_allocate(number):
                held.append(allocator.allocate(number))
                assert len(held[-1]) == number
                assert allocator.free_pages == free - number
            else:
                assert number > free
        elif held:
            allocator.free(held.pop(number % len(held)))
        flat = [page for group in held for page in group]
        assert len(flat) == len(set(flat))
        assert len(flat) + allocator.free_pages == pages
        allocator.check_integrity()


def test_too_many_take_nothing() -> None:
    allocator = PageAllocator(3)
    with pytest.raises(MemoryError, match="4 KV pages"):
        allocator.allocate(4)
    assert allocator.free_pages == 3


def test_a_page_is_not_freed_twice() -> None:
    allocator = PageAllocator(3)
    pages = allocator.allocate(2)
    allocator.free(pages)
    with pytest.raises(ValueError, match=f"page {pages[0]}"):
        allocator.free(pages)
    allocator.check_integrity()


def test_integrity_finds_a_lost_page() -> None:
    allocator = PageAllocator(3)
    allocator._free.pop()
    with pytest.raises(AssertionError, match="lost"):
        allocator.check_integrity()
