"""Fixed windows of a tokenized text. Running a model over them is `evaluate/compare.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honed.errors import ParameterError

WINDOW_TOKENS = 512
WINDOWS = 8


@dataclass(frozen=True)
class Window:
    """`inputs` are fed at positions 0, 1, ...; `targets[i]` is the token that follows `inputs[i]`. int32, same length.

    Every window starts from an empty cache, so its first predictions see little context. With a begin token the
    inputs start with it and the first target is the first token of the text; without one the first token of the text
    is seen but not predicted.
    """

    start: int
    """Index of the first token of the text that the window uses."""
    inputs: NDArray[np.int32]
    targets: NDArray[np.int32]


def cut_windows(
    ids: Sequence[int],
    *,
    window_tokens: int = WINDOW_TOKENS,
    windows: int | None = None,
    begin_token: int | None = None,
) -> list[Window]:
    """Windows of `window_tokens` predictions each, spread evenly over the text, first to last, never overlapping.

    windows None: eight, or as many whole ones as a shorter text has. ParameterError where the text has no room for
    the windows asked for; it says how many tokens are needed.
    """
    if window_tokens < 2:
        raise ParameterError("window_tokens", window_tokens, "must be at least 2")
    if windows is not None and windows < 1:
        raise ParameterError("windows", windows, "must be at least 1")
    # Without a begin token, the last target of a window is the first input of the next one at the earliest.
    extra = 0 if begin_token is not None else 1
    room = (len(ids) - extra) // window_tokens
    count = min(WINDOWS, max(room, 1)) if windows is None else windows
    if room < count:
        needed = count * window_tokens + extra
        wanted = "a window" if count == 1 else f"{count} windows"
        raise ParameterError(
            "text",
            f"{len(ids)} tokens",
            f"must have at least {needed} for {wanted} of {window_tokens}; give a longer text, or fewer windows",
        )
    text = np.asarray(ids, dtype=np.int32)
    slack = len(ids) - extra - count * window_tokens
    result = []
    for index in range(count):
        start = index * window_tokens + (index * slack // (count - 1) if count > 1 else 0)
        targets = text[start + extra : start + extra + window_tokens]
        if begin_token is None:
            inputs = text[start : start + window_tokens]
        else:
            inputs = np.concatenate([np.array([begin_token], dtype=np.int32), targets[:-1]])
        result.append(Window(start, inputs, targets))
    return result
