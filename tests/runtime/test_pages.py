from __future__ import annotations

from array import array
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.runtime.pages import PageAllocator, first_seen, pages_for, replace_released


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


def test_pages_are_kept_found_and_given_up() -> None:
    allocator = PageAllocator(3)
    first, second = allocator.allocate(2)
    assert allocator.publish(first, b"first") == first
    assert allocator.publish(second, b"second") == second
    allocator.free((second, first))
    assert (allocator.free_pages, allocator.cached_pages) == (3, 2)
    assert allocator.unheld((first, second)) == 2
    allocator.hold((first,))
    assert (allocator.free_pages, allocator.cached_pages) == (2, 1)
    # The page that was never used goes before one that is cached.
    assert second not in allocator.allocate(1)
    assert allocator.find(b"second") == second
    assert allocator.allocate(1) == [second]
    assert allocator.evictions == 1
    assert allocator.find(b"second") is None
    assert allocator.find(b"first") == first
    allocator.check_integrity([0, 1, 2])


def test_the_least_recently_used_page_is_given_up_first() -> None:
    allocator = PageAllocator(4)
    pages = allocator.allocate(4)
    for page in pages:
        allocator.publish(page, bytes([page]))
    allocator.free(pages)
    allocator.hold((pages[1],))
    allocator.free((pages[1],))
    assert [allocator.allocate(1)[0] for _ in range(4)] == [pages[0], pages[2], pages[3], pages[1]]


def test_the_same_contents_are_kept_once() -> None:
    allocator = PageAllocator(2)
    first, second = allocator.allocate(2)
    assert allocator.publish(first, b"same") == first
    assert not allocator.is_private(first)
    assert allocator.is_private(second)
    assert allocator.publish(second, b"same") == first
    allocator.check_integrity([first, first])
    allocator.free((first, first))
    assert allocator.free_pages == 2
    with pytest.raises(ValueError, match=f"page {first}"):
        allocator.free((first,))


@pytest.mark.parametrize("seed", range(20))
def test_holders_are_counted_whatever_happens(seed: int) -> None:
    random = Random(seed)
    allocator = PageAllocator(6)
    held: list[int] = []
    contents = [bytes([number]) for number in range(8)]
    for _ in range(300):
        match random.randrange(4):
            case 0 if allocator.can_allocate(1):
                held += allocator.allocate(1)
            case 1 if held:
                place = random.randrange(len(held))
                if allocator.is_private(held[place]):
                    held[place] = allocator.publish(held[place], random.choice(contents))
            case 2:
                page = allocator.find(random.choice(contents))
                if page is not None:
                    allocator.hold((page,))
                    held.append(page)
            case 3 if held:
                allocator.free((held.pop(random.randrange(len(held))),))
        allocator.check_integrity(held)
        assert allocator.free_pages == 6 - len(set(held))
    assert allocator.evictions


def test_forgotten_contents_are_not_found() -> None:
    allocator = PageAllocator(3)
    first, second, third = allocator.allocate(3)
    allocator.publish(first, b"first")
    with pytest.raises(ValueError, match="are held"):
        allocator.forget()
    allocator.free((first, second))
    allocator.forget()
    assert allocator.find(b"first") is None
    assert (allocator.free_pages, allocator.cached_pages) == (2, 0)
    allocator.check_integrity([third])


def test_cached_pages_go_before_more_than_enough_are_used() -> None:
    allocator = PageAllocator(5, enough=2)
    for number in range(4):
        (page,) = allocator.allocate(1)
        assert page in (0, 1)
        allocator.publish(page, bytes([number]))
        allocator.free((page,))
        allocator.check_integrity([])
    assert (allocator.cached_pages, allocator.evictions) == (2, 2)
    held = allocator.allocate(2)
    assert sorted(held) == [0, 1]
    more = allocator.allocate(3)
    assert sorted(more) == [2, 3, 4], "further ones are there for whoever needs them"
    allocator.check_integrity([*held, *more])
    with pytest.raises(MemoryError):
        allocator.allocate(1)


def test_what_a_row_sees_begins_in_a_page() -> None:
    assert [first_seen(position, 32) for position in (0, 31, 62, 63, 95, 126, 127)] == [0, 0, 0, 1, 2, 2, 3]
    assert [first_seen(position, 1) for position in (0, 31, 32)] == [0, 0, 1]


def test_entries_behind_a_window_are_freed_once() -> None:
    allocator = PageAllocator(6)
    pages = array("i", allocator.allocate(5))
    assert replace_released(allocator, pages, 0, 0) == 0
    assert replace_released(allocator, pages, 0, 2) == 2
    assert replace_released(allocator, pages, 2, 1) == 2
    assert replace_released(allocator, pages, 2, 3) == 3
    assert pages.tolist() == [0, 0, 0, 3, 4]
    allocator.check_integrity(pages[3:])
