"""Notes are warnings of a class of ours, each a safe line."""

from __future__ import annotations

import warnings

import pytest

from honed.notes import HonedWarning, note


def test_a_note_is_a_warning() -> None:
    with pytest.warns(HonedWarning, match=r"^config.json: top_k is -1; it is ignored$"):
        note("config.json: top_k is -1; it is ignored")


def test_a_note_is_short_and_safe_for_a_terminal() -> None:
    with pytest.warns(HonedWarning) as caught:
        note("\x1b[2J\n" + "x" * 100_000 + "\ud800 the end")
    shown = str(caught[0].message)
    assert shown.isprintable()
    assert len(shown) < 500
    assert shown.startswith("\\x1b[2J\\n") and shown.endswith("\\ud800 the end")


def test_notes_can_be_silenced() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HonedWarning)
        note("nobody wants to know")
