"""The arguments of a call of a tool, for dialects that give them as an object.

A model that no grammar holds may write anything. Clients read a stream of arguments as JSON that goes on, and break on
what is none: so what comes after the first mistake is left out, streamed and whole alike.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json


class Arguments:
    """Grows with the fragments."""

    def __init__(self) -> None:
        self._text = ""
        self._broken = False
        self.value: dict[str, Any] = {}
        """What is there so far; a text that is not at its end is left out, as clients do."""

    def add(self, fragment: str) -> bool:
        """Whether the fragment may be passed on: all of it together is still the beginning of an object."""
        if self._broken:
            return False
        text = self._text + fragment
        try:
            # An empty beginning is one, too, which the parser does not take.
            found = from_json(text, allow_partial=True) if text.strip() else {}
        except ValueError:
            found = None
        self._broken = not isinstance(found, dict)
        if isinstance(found, dict):
            self._text, self.value = text, found
        return not self._broken
