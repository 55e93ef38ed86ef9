"""A program on a terminal of its own, typed at and read from as a person would."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from typing import Self

_PROGRAM = """
import fcntl, runpy, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
runpy.run_module("honed.cli.main", run_name="__main__", alter_sys=True)
"""


class TerminalSession:
    """`honed` with these words, its terminal the controlling one, so that Ctrl-C typed into it is a signal."""

    def __init__(self, *words: object, term: str = "dumb", variables: dict[str, str] | None = None) -> None:
        self.master, slave = pty.openpty()
        command = [sys.executable, "-c", _PROGRAM, *map(str, words)]
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env=os.environ | {"TERM": term} | (variables or {}),
        )
        os.close(slave)
        # readline tells the terminal before each prompt that pastes are to be marked.
        self.prompt = "\n> " if term == "dumb" else "\x1b[?2004h> "
        os.set_blocking(self.master, False)
        self.output = ""
        self._read = 0

    def read_until(self, text: str) -> str:
        """Waits for the text behind what was waited for before; all up to its end."""
        start, deadline = self._read, time.monotonic() + 60
        while (found := self.output.find(text, start)) < 0:
            assert time.monotonic() < deadline, f"{text!r} did not come: {self.output!r}"
            assert self._receive(), f"{text!r} did not come before the end: {self.output!r}"
        self._read = found + len(text)
        return self.output[start : self._read]

    def _receive(self) -> bool:
        """What there is to read; False once the program has closed the terminal."""
        try:
            self.output += os.read(self.master, 4096).decode(errors="replace")
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:
            return False
        return True

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def ask(self, text: str) -> str:
        """Types a line and waits for the next prompt; what was shown."""
        self.type(f"{text}\n")
        return self.read_until(self.prompt)

    def wait(self) -> int:
        """The exit status."""
        deadline = time.monotonic() + 60
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"did not end: {self.output!r}"
            self._receive()
        while select.select([self.master], [], [], 0)[0] and self._receive():
            pass
        return self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)
