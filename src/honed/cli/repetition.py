"""Finds a reply that has begun to repeat itself and would go on so until its tokens are used up."""

from __future__ import annotations

LOOKED_AT = 400
"""Characters at the end of a reply."""
TIMES = 8
"""Repeated so often within them, a text is taken to be a loop."""


def loop_length(text: str) -> int:
    """Length of the piece that the end of a text consists of, over and over; 0 where it does not.

    It is the smallest period of the last `LOOKED_AT` characters (by the failure function of Knuth, Morris and Pratt,
    1977), if they hold it `TIMES` times or more.
    """
    end = text[-LOOKED_AT:]
    if len(end) < LOOKED_AT:
        return 0
    border = [0] * len(end)
    length = 0
    for index in range(1, len(end)):
        while length and end[index] != end[length]:
            length = border[length - 1]
        if end[index] == end[length]:
            length += 1
        border[index] = length
    period = len(end) - border[-1]
    return period if period * TIMES <= len(end) else 0
