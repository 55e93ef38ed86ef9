"""Earlier responses: each key finds its own, in bounded memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.errors import ParameterError
from honed.server.fields import compact
from honed.server.responses.kept import ENTRY_BYTES, KeptResponses

ITEM = {"role": "user", "content": "hi"}


def test_each_key_finds_its_own() -> None:
    kept = KeptResponses()
    kept.keep("a", "resp_1", [ITEM])
    assert kept.items("a", "resp_1") == [ITEM]
    assert kept.items("a", None) == []
    for key, identifier in (("b", "resp_1"), ("a", "resp_2")):
        with pytest.raises(ParameterError) as found:
            kept.items(key, identifier)
        assert found.value.parameter == "previous_response_id"


def test_what_was_not_used_goes_first() -> None:
    kept = KeptResponses(4 * (len(compact([ITEM])) + ENTRY_BYTES))
    for number in range(4):
        kept.keep("a", str(number), [ITEM])
    kept.items("a", "0")
    kept.keep("a", "4", [ITEM])
    assert kept.items("a", "0") == [ITEM]
    with pytest.raises(ParameterError):
        kept.items("a", "1")


@given(st.lists(st.integers(0, 4000)))
def test_memory_is_bounded(sizes: list[int]) -> None:
    kept = KeptResponses(10_000)
    for number, size in enumerate(sizes):
        items = [{"t": "x" * size}]
        kept.keep("a", str(number), items)
        held = []
        for other in range(number + 1):
            try:
                held.append(ENTRY_BYTES + len(compact(kept.items("a", str(other)))))
            except ParameterError:
                continue
        assert sum(held) <= 10_000
        assert len(held) == len(kept)
        if len(compact(items)) <= 2500:
            assert kept.items("a", str(number)) == items
