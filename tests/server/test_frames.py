"""Values on the wire."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from honed.server.frames import event, json_reply, line

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_an_event_is_one_and_holds_its_value(value: Any) -> None:
    frame = event("name", value)
    head, _, rest = frame.partition(b"\n")
    assert head == b"event: name"
    assert rest.startswith(b"data: ")
    assert rest.endswith(b"\n\n")
    assert rest.count(b"\n") == 2
    assert b"\r" not in rest
    assert json.loads(rest.removeprefix(b"data: ")) == value


@given(VALUES)
def test_a_line_is_one(value: Any) -> None:
    data = line(value)
    assert data.count(b"\n") == 1
    assert json.loads(data) == value
    assert bytes(json_reply(value).body) + b"\n" == data
