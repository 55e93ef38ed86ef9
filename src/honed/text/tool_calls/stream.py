"""The text of a reply as parts and calls, for any format: where a call may begin, and what to do with what is none.

Not here: what stands inside a call, for which a format gives a scanner (`tool_calls/scan.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from honed.text.spellings import Spellings
from honed.text.tool_calls.base import CallArguments, CallBegun, CallEnded, CallEvent, TextPart
from honed.text.tool_calls.scan import Calls, MalformedCallError, Scan

Inside = Callable[[str, Calls], Scan[str]]
"""Reads what follows a marker, from its first character on, and returns the text behind the last call that belongs to
it, as far as it was read."""

_SPACE = " \t\r\n"


class CallStream:
    """A `CallParser`. Holds back what may become a marker, and white space next to calls."""

    def __init__(
        self,
        markers: Collection[str],
        inside: Inside,
        *,
        bare: str = "",
        only: Collection[str] | None = None,
    ) -> None:
        """markers: begin a call. bare: a character that begins one too, where it is the first of the text and is read
        as a part of the call. only: names that calls may have after `bare`; None: any."""
        self._markers = Spellings(markers)
        self._inside = inside
        self._bare = bare
        self._only = only
        self._events: list[CallEvent] = []
        self._held = ""
        """Read, and not yet text for certain."""
        self._edge = True
        """Whether only white space came since the beginning or the last call."""
        self._first = True
        self._scan: Scan[str] | None = None
        self._raw: list[str] = []
        """What was read since the marker, or since the last whole call after it."""
        self._fragments: list[str] = []
        """Of the arguments, since the last event."""
        self._number = 0
        self._open = False
        self._known_only = False

    def feed(self, text: str) -> list[CallEvent]:
        """As the protocol says."""
        while text:
            text = self._scan_on(text) if self._scan is not None else self._text(text)
        return self._given()

    def finish(self) -> list[CallEvent]:
        """As the protocol says."""
        if self._scan is not None and (rest := self._step("")):
            self._text(rest)  # a part of a closing marker, or white space: it begins no other call
        held, self._held = self._held, ""
        # White space alone is a text of its own, but next to calls it is none.
        if not (self._edge and self._number and not held.strip(_SPACE)):
            self._give(held)
        return self._given()

    def begin(self, name: str) -> None:
        """A call begins (of `Calls`)."""
        if not name or (self._known_only and self._only is not None and name not in self._only):
            raise MalformedCallError
        self._say(CallBegun(self._number, name))
        self._open = True

    def argument(self, fragment: str) -> None:
        """More of its arguments (of `Calls`)."""
        self._fragments.append(fragment)

    def end(self) -> None:
        """It is whole (of `Calls`)."""
        self._end(complete=True)

    def _end(self, *, complete: bool) -> None:
        self._say(CallEnded(self._number, complete))
        self._number += 1
        self._open = False
        self._raw.clear()
        self._edge = True

    def _say(self, event: CallEvent) -> None:
        self._flush()
        self._events.append(event)

    def _flush(self) -> None:
        if self._fragments:
            self._events.append(CallArguments(self._number, "".join(self._fragments)))
            self._fragments.clear()

    def _given(self) -> list[CallEvent]:
        self._flush()
        events, self._events = self._events, []
        return events

    def _text(self, text: str) -> str:
        """Reads text until a call may begin; what follows it."""
        text = self._held + text
        self._held = ""
        if self._first and self._bare:
            begun = text.lstrip(_SPACE)
            if not begun:
                self._held = text
                return ""
            if begun[0] == self._bare:
                return self._start(text[: len(text) - len(begun)], begun, known_only=True)
        for place, found in self._markers.places(text):
            before = text[:place]
            if before.strip(_SPACE) or not self._edge:
                self._give(before)
                before = ""
            return self._start(before + found, text[place + len(found) :], known_only=False)
        sure = len(text) - self._markers.begun_at_the_end(text)
        if self._edge and not text[:sure].strip(_SPACE):
            sure = 0
        self._give(text[:sure])
        self._held = text[sure:]
        return ""

    def _start(self, read: str, rest: str, *, known_only: bool) -> str:
        self._raw = [read]
        self._first = False
        self._known_only = known_only
        self._scan = self._reading()
        next(self._scan)
        return rest

    def _reading(self) -> Scan[str]:
        return (yield from self._inside((yield), self))

    def _scan_on(self, text: str) -> str:
        """Reads inside of a call; what is left when it is over."""
        for index, char in enumerate(text):
            rest = self._step(char)
            if rest is not None:
                return rest + text[index + 1 :]
        return ""

    def _step(self, char: str) -> str | None:
        """Reads one character; where the scanner is done, what is to be read as text."""
        assert self._scan is not None
        self._raw.append(char)
        try:
            self._scan.send(char)
        except StopIteration as done:
            rest: str = done.value
        except MalformedCallError:
            rest = char
            if self._open:
                self._end(complete=False)
            elif (read := "".join(self._raw[:-1])).strip(_SPACE) or not self._edge:
                self._give(read)
        else:
            return None
        self._scan = None
        self._raw = []
        return rest

    def _give(self, text: str) -> None:
        if not text:
            return
        self._edge = self._first = False
        if self._events and isinstance(last := self._events[-1], TextPart):
            self._events[-1] = TextPart(last.text + text)
        else:
            self._say(TextPart(text))
