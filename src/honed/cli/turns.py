"""What the user of `honed chat` says, one turn after the other. Not here: what a turn means (`cli/chat.py`).

On a terminal a turn is a line, a pasted text of any number of lines, or a block between lines of three quotes. A paste
is told from typing by the terminal itself (bracketed paste, which GNU readline 8.1 and later understands); where it is
not, lines that are waiting already when a line ends belong to the same turn. From a pipe or file a turn is a line or a
block.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from types import FrameType
from typing import Self

from honed.cli import streams
from honed.errors import HonedError
from honed.records import dataclass

QUOTES = '"""'
_PASTE_S = 0.03
"""How long the next line of a paste may be behind the one before."""
_WAKE = signal.SIGURG
"""Ignored where nobody asks for it."""
_WAKE_AFTER_S = (0.02, 0.1, 0.5)


@dataclass(frozen=True)
class Turn:
    """text: what was said. is_line: whether it was one line, which may be a command; a paste or a block never is."""

    text: str
    is_line: bool


def from_lines(lines: Iterable[str]) -> Iterator[Turn]:
    """Turns of a pipe or file. A block that never ends, or bytes that are no UTF-8: HonedError."""
    rest = iter(lines)
    try:
        for line in rest:
            text = line.rstrip("\r\n")
            if not text.startswith(QUOTES):
                yield Turn(text, is_line=True)
                continue
            block = _Block(text)
            while not block.ended:
                following = next(rest, None)
                if following is None:
                    raise HonedError(f"standard input: a turn that begins with {QUOTES} must end with {QUOTES}")
                block.add(following.rstrip("\r\n"))
            yield Turn(block.text, is_line=False)
    except UnicodeDecodeError as error:
        raise HonedError(
            f"standard input: must be UTF-8 text, and byte {error.object[error.start]:#04x} is not"
        ) from None


class Interrupts:
    """What Ctrl-C does on a terminal: at the prompt it is a KeyboardInterrupt, anywhere else it is only noted, so that
    it never breaks into the middle of a step. To be used as a context, in the main thread.

    Python's input() looks for signals, then waits for a key: a Ctrl-C between the two, which is while the prompt is
    being shown, would count only at the next key. So a thread hears of every signal too, and wakes the main thread a
    few times after a Ctrl-C, with a signal that means nothing else.
    """

    def __init__(self) -> None:
        self._at_prompt = False
        self.pressed = False
        """Whether it was pressed since the last line that was typed."""

    def ask(self, prompt: str) -> str:
        """A line from the user. Errors: EOFError, KeyboardInterrupt, UnicodeDecodeError."""
        self._at_prompt = True
        try:
            self.pressed = False
            return _ask(prompt)
        finally:
            self._at_prompt = False

    def __enter__(self) -> Self:
        self._previous = signal.signal(signal.SIGINT, self._note)
        self._previous_wake = signal.signal(_WAKE, lambda number, frame: None)
        self._heard, told = socket.socketpair()
        told.setblocking(False)
        self._told = told
        self._previous_told = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._wake, args=[threading.get_ident()], name="interrupts", daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        signal.set_wakeup_fd(self._previous_told)
        self._told.close()  # ends the thread, which closes its own end
        signal.signal(_WAKE, self._previous_wake)
        signal.signal(signal.SIGINT, self._previous)

    def _wake(self, waiting: int) -> None:
        """Wakes a thread after each Ctrl-C, until nobody tells of signals any more."""
        with self._heard:
            while numbers := self._heard.recv(64):
                if signal.SIGINT in numbers:
                    for seconds in _WAKE_AFTER_S:
                        time.sleep(seconds)
                        if self._told.fileno() < 0:
                            return
                        signal.pthread_kill(waiting, _WAKE)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.pressed = True
        if self._at_prompt:
            raise KeyboardInterrupt


def from_terminal(
    interrupts: Interrupts, is_command: Callable[[str], bool], tell: Callable[[str], None]
) -> Iterator[Turn]:
    """Turns of a terminal, until Ctrl-D, or Ctrl-C twice at the prompt. `tell` shows the user a remark."""
    reader = _Reader(interrupts, is_command)
    pressed = False
    while True:
        try:
            turn = reader.turn()
        except KeyboardInterrupt:
            sys.stdout.write("\n")
            if pressed:
                return
            pressed = True
            tell("Ctrl-C again, Ctrl-D or /exit ends the chat")
            continue
        except EOFError:
            sys.stdout.write("\n")
            return
        except UnicodeDecodeError:
            tell("that was no UTF-8 text, and is left out")
            continue
        pressed = False
        yield turn


class _Reader:
    def __init__(self, interrupts: Interrupts, is_command: Callable[[str], bool]) -> None:
        self._ask = interrupts.ask
        self._is_command = is_command
        self._next: str | None = None
        self._at_end = False
        _edit_lines()

    def turn(self) -> Turn:
        """Waits for one. Errors: EOFError, KeyboardInterrupt."""
        if self._at_end:
            raise EOFError
        first, self._next = self._next, None
        if first is None:
            first = self._ask("> ")
        if first.startswith(QUOTES):
            block = _Block(first)
            while not block.ended:
                block.add(self._ask("... "))
            return Turn(block.text, is_line=False)
        lines = [first]
        if not self._is_command(first):
            self._add_waiting(lines)
        text = "\n".join(lines).rstrip("\n")
        return Turn(text, is_line="\n" not in text)

    def _add_waiting(self, lines: list[str]) -> None:
        """Lines of a paste that came as if they had been typed. A command among them is a turn of its own."""
        while select.select([sys.stdin], [], [], _PASTE_S)[0]:
            try:
                line = self._ask("")
            except EOFError:
                self._at_end = True
                return
            if self._is_command(line):
                self._next = line
                return
            lines.append(line)


class _Block:
    def __init__(self, first: str) -> None:
        self._lines: list[str] = []
        self.ended = False
        self.add(first.removeprefix(QUOTES))

    def add(self, line: str) -> None:
        whole = line.rstrip()
        self.ended = whole.endswith(QUOTES)
        self._lines.append(whole.removesuffix(QUOTES) if self.ended else line)

    @property
    def text(self) -> str:
        return "\n".join(self._lines).strip("\n")


def _edit_lines() -> None:
    """Gives input() line editing, history, and pastes of several lines as one."""
    with suppress(ImportError):
        import readline

        if "libedit" not in (readline.__doc__ or "") and os.environ.get("TERM", "dumb") != "dumb":
            readline.parse_and_bind("set enable-bracketed-paste on")


def _ask(prompt: str) -> str:
    if sys.stdout.isatty():
        return input(prompt)
    # Replies go to a file or pipe, and the prompt is none of them.
    streams.say(prompt)
    return input()
