from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from honed.runtime.penalties import Counts, Seen

tokens = st.lists(st.integers(0, 5), max_size=20)


def filled(*trackers: Seen | Counts) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for tracker in trackers:
        tracker.fill(fields)
    return fields


@settings(deadline=None, derandomize=True)
@given(tokens, tokens, tokens, st.integers(0, 20))
def test_what_was_seen_and_how_often(prompt: list[int], wrong: list[int], reply: list[int], settled: int) -> None:
    seen, counts = Seen(prompt), Counts()
    for tracker in (seen, counts):
        for token in reply[:settled]:
            tracker.push(token)
            tracker.settle()
        for token in wrong:
            tracker.push(token)
        for _ in wrong:
            tracker.pop()
        for token in reply[settled:]:
            tracker.push(token)
    fields = filled(seen, counts)
    assert len(fields["seen"]) == len({*prompt, *reply})
    assert set(fields["seen"]) == {*prompt, *reply}
    assert dict(fields["counts"]) == Counter(reply)


def test_what_is_filled_in_stays_as_it_is() -> None:
    seen, counts = Seen([1]), Counts()
    counts.push(1)
    before = filled(seen, counts)
    seen.push(2)
    counts.push(1)
    assert (list(before["seen"]), list(before["counts"])) == ([1], [(1, 1)])
