from __future__ import annotations

import io
import signal
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.cli.turns import Interrupts, Turn, from_lines
from honed.errors import HonedError


def test_each_line_is_a_turn_and_keeps_its_blanks() -> None:
    found = list(from_lines(io.StringIO(" one\r\n\n/two \nthree")))
    assert found == [Turn(" one", True), Turn("", True), Turn("/two ", True), Turn("three", True)]


@pytest.mark.parametrize(
    "typed",
    ['"""one\ntwo\n\nthree"""\n', '"""\none\ntwo\n\nthree\n"""\n', '"""one\r\ntwo\r\n\r\nthree"""  \r\n'],
)
def test_a_block_is_one_turn_and_no_command(typed: str) -> None:
    assert list(from_lines(io.StringIO(typed + "four\n"))) == [Turn("one\ntwo\n\nthree", False), Turn("four", True)]


def test_a_block_may_end_on_its_first_line() -> None:
    assert list(from_lines(['"""/exit"""\n', "x\n"])) == [Turn("/exit", False), Turn("x", True)]
    assert list(from_lines(['""""""\n'])) == [Turn("", False)]


def test_a_block_that_never_ends_is_an_error() -> None:
    with pytest.raises(HonedError, match='must end with """'):
        list(from_lines(['"""one\n', "two\n"]))


def test_bytes_that_are_no_text_are_an_error_that_names_them() -> None:
    stream = io.TextIOWrapper(io.BytesIO(b"one\n\xff\xfe\n"), encoding="utf-8")
    with pytest.raises(HonedError, match=r"UTF-8.*0xff"):
        list(from_lines(stream))


@given(st.lists(st.text(st.characters(exclude_characters='\r\n"', exclude_categories=["Cs"]))))
def test_lines_without_quotes_come_through(lines: list[str]) -> None:
    assert [turn.text for turn in from_lines(f"{line}\n" for line in lines)] == lines


@given(st.lists(st.text(st.characters(exclude_characters='\r\n"', exclude_categories=["Cs"])), min_size=1))
def test_a_block_holds_its_lines(lines: list[str]) -> None:
    (turn,) = from_lines(['"""\n', *(f"{line}\n" for line in lines), '"""\n'])
    assert turn.text == "\n".join(lines).strip("\n")


def test_ctrl_c_wakes_who_has_just_begun_to_wait_for_a_key() -> None:
    """input() that has looked for signals and waits for a key hears of one only if its waiting is broken off."""
    with Interrupts() as interrupts:
        threading.Timer(0.05, lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)).start()
        while not interrupts.pressed:
            time.sleep(0.01)
        woken = threading.Event()
        signal.signal(signal.SIGURG, lambda number, frame: woken.set())
        assert woken.wait(10)
