"""What a step costs by its rows, learned from the steps that were run.

Rows that share a read of the weights are nearly free, until they are not: how many depends on the model, the encoding
and the machine, so nothing is assumed but a slope for sizes that were never tried.
"""

from __future__ import annotations

from bisect import bisect_left, insort

_SLOPE = 0.05
"""Of sizes that were never run, what a further row costs in steps of one row: low enough that they are tried."""

_TRUSTED = 3
"""Samples of a size until its least no longer counts: one that something else delayed is not to rule the size out."""

_LIFE = 2048
"""Steps after which a size that was not run since is unknown again, so that what lost once is tried again."""


class StepCosts:
    """Seconds of steps in which every sequence decodes."""

    def __init__(self) -> None:
        self._sizes: list[int] = []  # ascending
        self._seconds: dict[int, float] = {}
        self._samples: dict[int, int] = {}
        self._noted: dict[int, int] = {}
        self._steps = 0

    def note(self, rows: int, seconds: float) -> None:
        """A step of so many rows took so long."""
        self._steps += 1
        samples = self._samples.get(rows, 0)
        if samples == 0:
            insort(self._sizes, rows)
            self._seconds[rows] = seconds
        elif samples < _TRUSTED:
            self._seconds[rows] = min(self._seconds[rows], seconds)
        else:
            known = self._seconds[rows]
            self._seconds[rows] = known + (min(seconds, 1.5 * known) - known) / 8
        self._samples[rows] = samples + 1
        self._noted[rows] = self._steps
        if self._steps % 64 == 0:
            self._forget()

    def age(self, rows: int) -> int:
        """Steps since one of so many rows; a large number if there was none."""
        noted = self._noted.get(rows)
        return _LIFE if noted is None else self._steps - noted

    def seconds(self, rows: int) -> float:
        """What a step of so many rows takes, on a line between the sizes that are known; 0 while none is."""
        sizes = self._sizes
        if not sizes:
            return 0.0
        known = self._seconds.get(rows)
        if known is not None:
            return known
        at = bisect_left(sizes, rows)
        if at == 0:
            return self._seconds[sizes[0]]
        below = sizes[at - 1]
        if at == len(sizes):
            return self._seconds[below] * (1 + _SLOPE * (rows - below) / (1 + _SLOPE * below))
        above = sizes[at]
        share = (rows - below) / (above - below)
        return self._seconds[below] + (self._seconds[above] - self._seconds[below]) * share

    def _forget(self) -> None:
        old = [size for size in self._sizes if self._steps - self._noted[size] >= _LIFE]
        for size in old:
            self._sizes.remove(size)
            del self._seconds[size], self._samples[size], self._noted[size]
