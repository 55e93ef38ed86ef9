"""Arguments of calls: an object that grows, as a client's parser has it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from honed.server.arguments import Arguments

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.text(), VALUES), st.data())
def test_any_object_in_any_fragments(value: dict[str, Any], data: st.DataObject) -> None:
    text = json.dumps(value)
    arguments = Arguments()
    while text:
        size = data.draw(st.integers(1, len(text)))
        assert arguments.add(text[:size])
        text = text[size:]
    assert arguments.value == value


def test_what_comes_after_a_mistake_is_left_out() -> None:
    arguments = Arguments()
    assert [arguments.add(part) for part in ('{"a": 1', ', "b": tru', "th", "}")] == [True, True, False, False]
    assert arguments.value == {"a": 1}


def test_what_is_no_object() -> None:
    for text in ("[1]", "3", "look", '"x"'):
        arguments = Arguments()
        assert not arguments.add(text)
        assert arguments.value == {}
    empty = Arguments()
    assert empty.add("")
    assert empty.add(" ")
    assert empty.value == {}
