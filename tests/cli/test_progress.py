from __future__ import annotations

import io
import sys

import pytest

from honed.cli import progress as module
from honed.cli.progress import progress


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_short_work_prints_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as report:
        for done in range(100):
            clock.now += 0.019
            report("working", done, 100)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_long_work_prints_a_line_now_and_then_on_stderr(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as report:
        for done in range(1, 14):
            clock.now += 1
            report("working", done, 20)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == ["working: 2 of 20", "working: 7 of 20", "working: 12 of 20"]


def test_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress() as report:
        report("comparing", 3, 4)
    assert "comparing" in terminal.getvalue()
    assert "75 %" in terminal.getvalue()
