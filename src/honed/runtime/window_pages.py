"""Pages of the layers that see a window of keys only, beside those of the first group, which the scheduler has.

Of each such group a running sequence holds the pages that its next row sees, and those of the rows of a step: how many
does not grow with its length. It gets them as its rows are scheduled, and pages behind the window go back once they are
computed and published. Prefixes are found in them by the digests of the first group.

Not here: who runs and who gives way (`scheduler.py`), and how many pages a group has (`backends/capacity.py`).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from collections.abc import Sequence as Many
from itertools import chain

from honed.backends.base import PAGE_TOKENS, PageGroup, span_pages
from honed.runtime.pages import PageAllocator, first_seen, pages_for, replace_released
from honed.runtime.sequence import Sequence, WindowPages


class _Group:
    """The pages of one group. `number`: of its entry in `Sequence.windows`."""

    def __init__(self, number: int, group: PageGroup) -> None:
        if group.window is None:
            raise ValueError("a group of pages beside the first one has no window")
        self.number = number
        self.pages = PageAllocator(group.pages, group.enough)
        self.window = group.window
        self._most = min(group.pages, span_pages(group.window))

    def of(self, sequence: Sequence) -> WindowPages:
        return sequence.windows[self.number]

    def bound(self, sequence: Sequence) -> int:
        """Pages that a sequence holds at most before the rows of a step."""
        return min(pages_for(len(sequence.tokens)), self._most)

    def find(self, digests: Many[bytes], count: int) -> list[int]:
        """Of the pages that the row behind `count` pages sees, those that are there without a gap, up to the last."""
        found: list[int] = []
        for digest in reversed(digests[first_seen(count * PAGE_TOKENS, self.window) : count]):
            page = self.pages.find(digest)
            if page is None:
                break
            found.append(page)
        found.reverse()
        return found


class Windows:
    """All groups but the first, of one scheduler. False where there are none."""

    def __init__(self, groups: Many[PageGroup], first: int) -> None:
        """first: pages of the first group, which bound how long a sequence is. ValueError where a sequence does not fit
        a group alone."""
        for group in groups:
            if group.pages < min(first, span_pages(group.window or first * PAGE_TOKENS)):
                raise ValueError(f"{group.pages} pages do not hold what a row sees of a window of {group.window}")
        self._groups = [_Group(number, group) for number, group in enumerate(groups)]

    def __bool__(self) -> bool:
        return bool(self._groups)

    def reusable(self, digests: Many[bytes], count: int) -> int:
        """With how many of the first `count` pages, which the first group has, a sequence can begin: the row behind
        them finds all that it sees in every group."""
        while count:
            for group in self._groups:
                wanted = count - first_seen(count * PAGE_TOKENS, group.window)
                there = len(group.find(digests, count))
                if there < wanted:
                    # Whoever begins with more pages than the missing one, but fewer than these, sees that one too.
                    count -= there + 1
                    break
            else:
                break
        return count

    def fits(self, sequence: Sequence, count: int, running: Iterable[Sequence]) -> bool:
        """Whether there are pages for a sequence that begins with `count` pages, beside what others will hold."""
        running = list(running)
        for group in self._groups:
            found = group.find(sequence.digests, count)
            promised = sum(max(0, group.bound(other) - len(group.of(other).held)) for other in running)
            wanted = group.bound(sequence) - len(found) + group.pages.unheld(found)
            if not group.pages.can_allocate(wanted + promised):
                return False
        return True

    def begin(self, sequence: Sequence) -> None:
        """Gives a sequence tables without a page."""
        sequence.windows.extend(WindowPages(array("i"), 0) for _ in self._groups)

    def seat(self, sequence: Sequence, count: int) -> None:
        """Gives a sequence that fits what its next row sees of the `count` pages that it begins with, and the page of
        that row."""
        for group in self._groups:
            found = group.find(sequence.digests, count)
            group.pages.hold(found)
            table = WindowPages(array("i", bytes(4 * (count - len(found)))), count - len(found))
            table.pages.extend(found)
            table.pages.extend(group.pages.allocate(1))
            sequence.windows.append(table)

    def room(self, sequence: Sequence, rows: int) -> int:
        """How many of the next `rows` rows of a sequence there are pages for."""
        for group in self._groups:
            capacity = len(group.of(sequence).pages) * PAGE_TOKENS
            if sequence.computed + rows > capacity:
                rows = min(rows, capacity + group.pages.free_pages * PAGE_TOKENS - sequence.computed)
        return rows

    def extend(self, sequence: Sequence, rows: int) -> bool:
        """Gives a sequence pages for its next `rows` rows in every group, or in none: False."""
        needed = pages_for(sequence.computed + rows)
        missing = [needed - len(group.of(sequence).pages) for group in self._groups]
        if not all(group.pages.can_allocate(count) for group, count in zip(self._groups, missing, strict=True)):
            return False
        for group, count in zip(self._groups, missing, strict=True):
            if count > 0:
                group.of(sequence).pages.extend(group.pages.allocate(count))
        return True

    def publish(self, sequence: Sequence, complete: int) -> None:
        """Lets others find the pages from `published` to `complete`, which it still holds."""
        for group in self._groups:
            pages = group.of(sequence).pages
            for index in range(sequence.published, complete):
                pages[index] = group.pages.publish(pages[index], sequence.digests[index])

    def settle(self, sequence: Sequence) -> None:
        """Frees the pages that the next row does not see, and those of proposals that the model did not take."""
        needed = pages_for(len(sequence.tokens))
        for group in self._groups:
            table = group.of(sequence)
            table.released = replace_released(
                group.pages, table.pages, table.released, first_seen(sequence.computed, group.window)
            )
            if len(table.pages) > needed:
                group.pages.free(table.pages[needed:])
                del table.pages[needed:]

    def vacate(self, sequence: Sequence) -> None:
        """Takes the pages of a sequence that runs no longer; the last ones will be evicted first."""
        for group in self._groups:
            group.pages.free(reversed(group.of(sequence).held))
        sequence.windows.clear()

    def forget(self) -> None:
        """Nothing that is cached is found again. Nobody may run."""
        for group in self._groups:
            group.pages.forget()

    def check_integrity(self, running: Many[Sequence], waiting: Iterable[Sequence]) -> None:
        """AssertionError unless each running sequence has the pages that it needs, waiting ones have none, and what is
        shared can be found and will not be written."""
        assert not any(sequence.windows for sequence in waiting), "a waiting sequence holds pages of a window"
        for group in self._groups:
            group.pages.check_integrity(chain.from_iterable(group.of(sequence).held for sequence in running))
            for sequence in running:
                table = group.of(sequence)
                assert sequence.computed <= len(table.pages) * PAGE_TOKENS, "computed past the pages of a window"
                assert table.released <= first_seen(sequence.computed, group.window), "a page was freed that is seen"
                for index in range(table.released, sequence.published):
                    found = group.pages.find(sequence.digests[index])
                    assert found == table.pages[index], "a shared page of a window cannot be found"
                private = table.pages[max(sequence.published, table.released) :]
                assert all(map(group.pages.is_private, private)), "a page of a window will be written that is shared"

    @property
    def free_pages(self) -> tuple[int, ...]:
        """Pages of each group that no sequence holds."""
        return tuple(group.pages.free_pages for group in self._groups)
