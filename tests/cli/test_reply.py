from __future__ import annotations

import io
import sys

import pytest

from honed.cli.reply import ReplyWriter


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(monkeypatch: pytest.MonkeyPatch, pieces: list[str], *, with_cut: bool, screen: bool = False) -> list[str]:
    """What was printed, and the text."""
    out = Screen() if screen else io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    writer = ReplyWriter()
    for piece in pieces:
        writer.write(piece)
    writer.finish(with_cut=with_cut)
    assert writer.length == len(writer.text)
    return [out.getvalue(), writer.text]


def test_pieces_joined_are_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = ["a", "", "\ufffd", "b\n", "\x1b[2J\r\n"]
    assert written(monkeypatch, pieces, with_cut=True) == ["a\ufffdb\n\x1b[2J\r\n\n", "a\ufffdb\n\x1b[2J\r\n"]


def test_a_cut_character_is_left_out_of_what_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert written(monkeypatch, ["a", "b\ufffd", "\ufffd"], with_cut=False) == ["ab\n", "ab"]
    assert written(monkeypatch, ["a", "b\ufffd"], with_cut=True) == ["ab\ufffd\n", "ab\ufffd"]


def test_a_terminal_gets_nothing_that_it_would_act_upon(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, text = written(monkeypatch, ["a\x1b]0;x\x07\t\u05d0\u200f\x9b\r\nb\x7f"], with_cut=True, screen=True)
    assert shown == "a\ufffd]0;x\ufffd\t\u05d0\u200f\ufffd\nb\ufffd\n"
    assert text == "a\x1b]0;x\x07\t\u05d0\u200f\x9b\r\nb\x7f"
