"""Messages are safe for a terminal and short, whatever they were made of."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.errors import (
    FormatError,
    HonedError,
    MachineError,
    ParameterError,
    plain,
    quoted,
    shortened,
)


def test_control_characters_are_escaped() -> None:
    error = FormatError("a\x1b[2Jb.json", "na\nme", "has \x07 and \u202e and \udc80 and \x9b")
    assert str(error) == r"a\x1b[2Jb.json: na\nme: has \x07 and \u202e and \udc80 and \x9b"


@given(st.text(st.characters(), max_size=2000))
def test_every_message_is_printable_and_short(text: str) -> None:
    for error in (HonedError(text), FormatError(text, text, text), ParameterError("x", text, "must be less")):
        assert len(str(error)) < 500
        str(error).encode()  # no halves of surrogate pairs
        assert not any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in str(error))


def test_a_long_message_keeps_its_beginning_and_its_remedy() -> None:
    message = str(HonedError(f"/models/a.gguf: {'x' * 100_000}: use another file"))
    assert message.startswith("/models/a.gguf: xxx")
    assert message.endswith("xxx: use another file")
    assert " ... " in message


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "'plain'"),
        (2.5, "2.5"),
        (None, "None"),
        pytest.param(10**5000, "a number of about 5000 digits", id="huge"),
        ("a" * 200, "'" + "a" * 76 + "..."),
        ([1] * 1_000_000, "[1, 1, 1, 1, 1, 1, ...]"),
        (b"\x00\x1b", r"b'\x00\x1b'"),
    ],
)
def test_a_value_is_shown_short(value: object, shown: str) -> None:
    assert quoted(value) == shown


@given(st.one_of(st.text(), st.binary(), st.integers(), st.lists(st.text()), st.dictionaries(st.text(), st.integers())))
def test_a_shown_value_never_passes_its_limit(value: object) -> None:
    assert len(quoted(value, 40)) <= 40
    assert plain(quoted(value)) == quoted(value)


def test_a_value_whose_repr_fails_is_still_shown() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert "Broken" in quoted(Broken())


def test_shortened_leaves_short_text_alone() -> None:
    assert shortened("abc") == "abc"
    assert len(shortened("a" * 10_000, 100)) == 100


def test_exit_codes_tell_the_user_s_faults_from_the_machine_s() -> None:
    assert (HonedError.exit_code, ParameterError.exit_code, FormatError.exit_code) == (2, 2, 2)
    assert MachineError.exit_code == 1


def test_an_error_crosses_processes() -> None:
    for error in (HonedError("a\nb"), FormatError("p", "f", "is wrong"), ParameterError("n", 3, "must be 2")):
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
