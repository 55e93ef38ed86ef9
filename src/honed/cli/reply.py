"""A reply on its way to standard output, shared by the verbs that write one."""

from __future__ import annotations

import sys

_CUT = "\ufffd"
# What a terminal acts upon, but for ends of lines and tabs. Marks of direction are left: some scripts need them.
_SHOWN: dict[int, str | None] = {
    **dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), _CUT),
    **{ord(kept): kept for kept in "\n\t"},
    ord("\r"): None,
}


class ReplyWriter:
    """Prints pieces as they come. On a terminal control characters of the model become U+FFFD; elsewhere they stay."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._cut = ""
        self._clean = sys.stdout.isatty()
        self.length = 0
        """Characters printed."""

    @property
    def text(self) -> str:
        """What was printed."""
        return "".join(self._pieces)

    def write(self, piece: str) -> None:
        """Prints a piece. U+FFFD at its end, which may stand for a character that was cut, waits for the next one."""
        piece = self._cut + piece
        whole = piece.rstrip(_CUT)
        self._cut = piece[len(whole) :]
        self._print(whole)

    def finish(self, *, with_cut: bool) -> None:
        """Ends the line. with_cut: first prints what the last piece left; a reply to be remembered does without."""
        if with_cut:
            self._print(self._cut)
        sys.stdout.write("\n")
        sys.stdout.flush()

    def _print(self, text: str) -> None:
        if text:
            self._pieces.append(text)
            self.length += len(text)
            sys.stdout.write(text.translate(_SHOWN) if self._clean else text)
            sys.stdout.flush()
