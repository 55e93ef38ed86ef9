"""What stands in for streams. As processes they are tried in `test_main.py`."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import warnings

import pytest

from honed.cli import streams
from honed.errors import HonedError


def test_closed_input_is_told_to_who_reads_it() -> None:
    closed = streams._Closed()
    assert not closed.isatty()
    for read in (closed.read, closed.readline, lambda: next(iter(closed)), lambda: list(closed)):
        with pytest.raises(HonedError, match="standard input is closed"):
            read()


def test_standard_output_keeps_the_error_it_ended_with(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "wb") as file:  # noqa: PTH123
        watched = streams._Watched(file.fileno(), "w", closefd=False)
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(watched), encoding="utf-8"))
        assert streams.output_fault() is None
        sys.stdout.write("text")
        fault = streams.output_fault()
        assert fault is not None
        assert "No space" in str(fault)
        with pytest.raises(OSError, match="No space"):
            sys.stdout.write("more" * 100_000)
        assert streams.output_fault() is not None
        monkeypatch.undo()


def test_standard_error_never_fails() -> None:
    read, write = os.pipe()
    os.close(read)
    deaf = streams._Deaf(write, "w")
    assert deaf.write(b"nobody") == 6
    deaf.close()


def test_notes_come_once_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    class HonedWarning(UserWarning):
        pass

    with warnings.catch_warnings():
        streams.show_notes()
        for text in ("one", "two", "one"):
            warnings.warn(text, HonedWarning, stacklevel=1)
        warnings.warn("of a library", DeprecationWarning, stacklevel=1)
    assert capsys.readouterr().err == "honed: note: one\nhoned: note: two\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_line_on_standard_error_is_there_at_once(unbuffered: str) -> None:
    program = (
        "import os, sys; from honed.cli import streams; streams.prepare(); sys.stderr.write('a line\\n'); os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == "a line\n"
