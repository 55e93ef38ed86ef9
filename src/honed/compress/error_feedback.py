"""Rounds a matrix input by input, and carries the error of each into those that are not rounded yet (GPTQ).

Of W [out, in] and the Gram matrix H of what enters, the change of the outputs is tr((W - Q) H (W - Q)^T). After an
input is rounded, what is least of it is reached by moving all later ones along a row of the upper Cholesky factor of
the inverse of H (Frantar et al. 2022, "GPTQ", algorithm 1; Frantar and Alistarh 2022, "Optimal Brain Compression").
What was rounded first did not know of the errors behind it, so each input may be rounded again with all others as they
are: no such step makes the change larger (Behdin et al. 2023, "QuantEase", algorithm 1).
Sums are in float64. Not here: where H comes from (`observe.py`), and the grids (`encodings/column_grid.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honed.encodings.column_grid import Gridded, column_grid, join_groups

Wide = NDArray[np.float64]
AT_ONCE = 128
"""Inputs whose errors move once for all into those behind them. Of every group size a multiple, so that a group that is
reached has got all that moves into it."""
ONE_BY_ONE = 32
"""Inputs between which errors move one by one, and then once for all into the rest of those above: a product of many
is several times as fast as as many outer products. Of every group size a divisor."""
_SMALL = 64
Encode = Callable[[NDArray[np.float32], slice], Gridded]
"""Some inputs of a matrix, [out, those], to the encoding that is asked for, each weight by itself."""


@dataclass(frozen=True)
class Feedback:
    """How errors of the inputs of one matrix move: `order` says how they are taken, `factor` is upper triangular."""

    order: NDArray[np.intp]
    factor: Wide


def feedback(gram: Wide, *, damping: float, by_activation: bool) -> Feedback:
    """`gram` [in, in]; `damping` is a share of its mean diagonal that is added to the diagonal. Inputs are taken as
    they lie, or by descending mean square: what weighs most is rounded while the most is left to make up for it. An
    input that is always zero moves nothing.

    Source: the papers above; the factor is found without the inverse: of the Cholesky factor L of H with its inputs
    in reverse, the inverse in reverse is it.
    """
    squares = np.diag(gram).copy()
    order = np.argsort(-squares, kind="stable") if by_activation else np.arange(len(squares))
    damped = _damped(gram[np.ix_(order, order)], damping)
    lower: Wide = np.linalg.cholesky(damped[::-1, ::-1]).astype(np.float64, copy=False)
    del damped
    _invert(lower)
    return Feedback(order, lower[::-1, ::-1])


def _damped(gram: Wide, damping: float) -> Wide:
    """A copy with a share of the mean of its diagonal added there, and with 1 where an input is always zero."""
    damped, diagonal = gram.copy(), np.diag(gram)
    mean = float(diagonal.mean())
    damped[np.diag_indices_from(damped)] = np.where(diagonal > 0, diagonal, 1.0) + damping * (mean if mean > 0 else 1.0)
    return damped


def _invert(lower: Wide) -> None:
    """A lower triangular matrix in place: half by half, in a fifth of the time of a general solution, and of memory it
    takes half as much again."""
    width = len(lower)
    if width <= _SMALL:
        lower[:] = np.tril(np.linalg.inv(lower))
        return
    half = width // 2
    first, second, below = lower[:half, :half], lower[half:, half:], lower[half:, :half]
    _invert(first)
    _invert(second)
    below[:] = -(second @ below) @ first


def round_with_feedback(
    weight: NDArray[np.float32], found: Feedback, encode: Encode, *, refit: bool, keep_zeros: bool = False
) -> Gridded:
    """W [out, in] in the encoding that `encode` gives. `keep_zeros`: what is zero stays so, whatever moves into it; all
    but float minimums have a code for that.

    `refit`: the scales of a group are found when its first input is reached, of weights as moved so far, which asks for
    inputs that are taken as they lie and for whole groups; otherwise they are those of the weights as they were.
    """
    rows, width = weight.shape
    order, factor = found.order, found.factor
    moved = np.ascontiguousarray(weight.T[order], dtype=np.float64)
    whole = encode(weight, slice(None))
    group = whole.group if refit else None
    grid, parts = column_grid(whole), list[Gridded]()
    codes, room = np.empty((width, rows), whole.codes.dtype), np.empty((ONE_BY_ONE, rows))
    for first in range(0, width, AT_ONCE):
        last = min(first + AT_ONCE, width)
        errors = np.empty((last - first, rows))
        for begin in range(first, last, ONE_BY_ONE):
            end = min(begin + ONE_BY_ONE, last)
            for place in range(begin, end):
                column = int(order[place])
                if group is not None and column % group == 0:
                    inputs = slice(place, place + group)
                    parts.append(encode(np.ascontiguousarray(moved[inputs].T, dtype=np.float32), inputs))
                    grid = column_grid(parts[-1])
                aimed = np.where(weight[:, column] == 0, 0.0, moved[place]) if keep_zeros else moved[place]
                codes[column], decoded = grid.round(column if group is None else column % group, aimed)
                error = (moved[place] - decoded) / factor[place, place]
                moves = np.multiply(factor[place, place + 1 : end, None], error, out=room[: end - place - 1])
                moved[place + 1 : end] -= moves
                errors[place - first] = error
            moved[end:last] -= factor[begin:end, end:last].T @ errors[begin - first : end - first]
        moved[last:] -= factor[first:last, last:].T @ errors
    codes = np.ascontiguousarray(codes.T)
    return grid.encoded(codes) if group is None else join_groups(parts, codes)


def round_again(weight: NDArray[np.float32], rounded: Gridded, gram: Wide, *, damping: float, sweeps: int) -> Gridded:
    """`rounded`, a form of W [out, in], with other codes of the same scales, after each input was rounded so many times
    to the value that is best with all others as they then are. `gram` and `damping` as of `feedback`.

    tr((W - Q) H (W - Q)^T) is never larger than before, H with its damping.
    """
    width = weight.shape[1]
    grid = column_grid(rounded)
    codes, values = np.ascontiguousarray(rounded.codes.T), rounded.decode().T.astype(np.float64)
    heavy = _damped(gram, damping)
    diagonal = np.diag(heavy)
    slopes = heavy @ (weight.T - values)  # of the change by each value, halved
    for _ in range(sweeps):
        before = codes.copy()
        for first in range(0, width, ONE_BY_ONE):
            last = min(first + ONE_BY_ONE, width)
            moves = np.empty((last - first, len(weight)))
            for column in range(first, last):
                aim = values[column] + slopes[column] / diagonal[column]
                codes[column], decoded = grid.round(column, aim)
                moves[column - first] = decoded - values[column]
                values[column] = decoded
                slopes[first:last] -= np.multiply.outer(heavy[first:last, column], moves[column - first])
            own = slopes[first:last].copy()
            slopes -= heavy[:, first:last] @ moves
            slopes[first:last] = own
        if np.array_equal(codes, before):
            break
    return grid.encoded(np.ascontiguousarray(codes.T))
