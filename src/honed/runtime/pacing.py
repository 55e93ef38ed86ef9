"""How many rows of prompts a step may have so that those that decode get their tokens in time."""

from __future__ import annotations

LEAST_PROMPT_ROWS = 16
"""Of prompts in a step, whatever it takes: a prompt must come to its end."""

_NEWEST = 0.2
"""Weight of the newest step in the means: some ten steps are remembered."""
_OUTLIER = 4
"""A step that took so many times the mean says that the machine was busy, and counts as no more."""


class _Mean:
    """Exponentially weighted means of the rows and seconds of steps of one kind."""

    def __init__(self) -> None:
        self.rows = 0.0
        self.seconds = 0.0

    def note(self, rows: int, seconds: float) -> None:
        if not self.rows:
            self.rows, self.seconds = float(rows), seconds
            return
        expected = self.seconds * max(1.0, rows / self.rows)
        self.rows += _NEWEST * (rows - self.rows)
        self.seconds += _NEWEST * (min(seconds, _OUTLIER * expected) - self.seconds)


class StepPacing:
    """Learns what a step takes: seconds = a + b * rows.

    The line goes through two points: the means of recent steps without rows of prompts, and of recent steps with them.
    So a long time of nothing but decoding does not make the slope forgotten, as it would be by a regression over all.
    """

    def __init__(self, wanted_seconds: float) -> None:
        """`wanted_seconds`: that a step should take at most, while sequences decode."""
        self._wanted = wanted_seconds
        self._decoding = _Mean()
        self._prompts = _Mean()

    def note(self, decode_rows: int, prompt_rows: int, seconds: float) -> None:
        """What a step took."""
        if decode_rows + prompt_rows == 0 or seconds <= 0:
            return
        mean = self._prompts if prompt_rows else self._decoding
        mean.note(decode_rows + prompt_rows, seconds)

    def prompt_rows(self, decode_rows: int) -> int:
        """Rows of prompts beside so many rows that decode.

        A step may take the wanted time, or twice that of the decoding alone where that is more: prompts that come
        never slow decoding down further than that, and where the model is too slow for the wanted time they still
        get as much as decoding does. At most twice what was tried: a line says little about what is far away.
        """
        if not self._prompts.rows:
            return LEAST_PROMPT_ROWS
        row = self._row_seconds()
        alone = row * decode_rows
        if self._decoding.rows:
            alone = max(alone, self._decoding.seconds + row * (decode_rows - self._decoding.rows))
        room = max(self._wanted, 2 * alone) - alone
        tried = 2 * int(self._prompts.rows) + LEAST_PROMPT_ROWS
        return max(LEAST_PROMPT_ROWS, min(tried, int(room / row)))

    def _row_seconds(self) -> float:
        """Of one more row: the slope, at least a tenth of what a row of these steps takes on average, for noise; that
        average, which is more, where there is no slope yet, and the rows then come closer to the wanted time by steps.
        """
        average = self._prompts.seconds / self._prompts.rows
        rows = self._prompts.rows - self._decoding.rows
        if not self._decoding.rows or rows < 1:
            return average
        return max((self._prompts.seconds - self._decoding.seconds) / rows, average / 10)
