"""What proposals may lose: a small part of the time of plain decoding, whatever the estimates promise.

Costs and acceptance are measured on a machine that others use too, and may be wrong for long. So each step with
proposals is set against what plain decoding would have taken for the same tokens, and as soon as more was lost than
plain steps have saved up for it, nothing is proposed until they have again.
"""

from __future__ import annotations

_PREMIUM = 0.015
"""Of a plain step, saved up by each: what proposals may lose in the long run."""

_FIRST = 1.0
"""Of a plain step, what may be lost before any was saved for: the costs of the first sizes are not known."""

_CREDIT = 6.0
"""Plain steps at most that are kept of what was won or saved."""

_WORST = 4.0
"""Plain steps at most that one step counts as: more says that the machine was busy."""


class Wager:
    """Of one engine. In units of a plain step."""

    def __init__(self) -> None:
        self._balance = _FIRST

    def allows(self) -> bool:
        """Whether proposals may be made."""
        return self._balance > 0

    def save(self) -> None:
        """A step without proposals."""
        self._balance = min(_CREDIT, self._balance + _PREMIUM)

    def settle(self, seconds: float, plain: float, steps: float) -> None:
        """A step with proposals took so many seconds, and did the work of so many plain ones that take `plain` each."""
        if plain > 0:
            self._balance = min(_CREDIT, self._balance + steps - min(seconds / plain, _WORST))
