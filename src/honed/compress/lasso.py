"""The matrix of which a share is zero that least changes what a layer gives, with the L1 norm as the penalty.

Minimizes  tr((W - V) H (W - V)^T) / 2 + p * sum_ij c_j |V_ij|  over V, where H is the Gram matrix of the inputs and p
one number for the whole matrix, by accelerated proximal steps from V = W (FISTA: Beck and Teboulle 2009; restarted
where the momentum points uphill: O'Donoghue and Candes 2015). Inputs are scaled to a mean square of one for the steps,
which changes nothing of the problem and without which few large inputs make each step short.

p is not searched by solving again and again: each step moves it towards the one under which as many values as asked
would be zero after it, by less and less, as both would swing for ever otherwise. Where the steps come to rest, V is the
solution for the last p.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honed.compress.error_feedback import Wide
from honed.compress.masks import Mask, least_of_all

Matrix = NDArray[np.float32]
_RESTING = 1e-5
"""Steps end where one changes less than this of the size of the whole."""
_SETTLING = 10
"""Steps after which the penalty moves half of the way."""


@dataclass(frozen=True)
class Scaled:
    """H with inputs scaled to a mean square of one: `correlation` [in, in] and the factors `size` [in] of that. `reach`
    is the largest eigenvalue, by which steps are divided."""

    correlation: Matrix
    size: Matrix
    reach: float


@dataclass(frozen=True)
class Solution:
    """V [out, in], which of it are to be zero, the factor p of the penalty, and the steps that were taken."""

    values: Matrix
    pruned: Mask
    penalty: float
    steps: int


def scaled(gram: Wide, *, damping: float) -> Scaled:
    """`damping` is added to the mean square of each input, as a share of it. An input that is always zero is alone."""
    squares = gram.diagonal()
    size = np.sqrt(np.where(squares > 0, squares, 1.0))
    correlation = gram / np.outer(size, size)
    np.fill_diagonal(correlation, 1 + damping)
    reach = float(np.linalg.eigvalsh(correlation)[-1])
    return Scaled(correlation.astype(np.float32), size.astype(np.float32), reach)


def solve(weight: Matrix, inputs: Scaled, counts: Matrix, *, share: float, steps: int) -> Solution:
    """The solution of which `share` is zero; `counts` [in] are the c_j. `steps` at most."""
    start = weight * inputs.size
    costs = counts / inputs.size
    reach = np.float32(inputs.reach)
    zeros = round(share * weight.size)
    values = ahead = start
    momentum, threshold, ratios, taken = 1.0, 0.0, np.abs(start), 0
    rests = False
    while taken < steps and not rests:
        taken += 1
        target = ahead - (ahead - start) @ inputs.correlation / reach
        ratios = np.abs(target) / costs
        wanted = float(np.partition(ratios, zeros - 1, axis=None)[zeros - 1]) if zeros else 0.0
        threshold += (wanted - threshold) * (1 if taken == 1 else _SETTLING / (_SETTLING + taken))
        moved = np.where(ratios <= threshold, np.float32(0), target - np.sign(target) * (np.float32(threshold) * costs))
        ahead, momentum, rests = _ahead(values, moved, ahead, momentum)
        values = moved
    # The few by which the zeros of V are too many or too few are those at the threshold.
    return Solution(values / inputs.size, least_of_all(ratios, share), threshold * inputs.reach, taken)


def refit(weight: Matrix, inputs: Scaled, start: Matrix, pruned: Mask, *, steps: int) -> Matrix:
    """The values [out, in] that change the outputs least where those `pruned` are zero, from `start`: the penalty,
    which pulled them towards zero, is gone. `steps` at most of conjugate gradients (Hestenes and Stiefel 1952), for
    all rows at once, each among its own inputs."""
    goal, kept = weight * inputs.size, ~pruned
    values = start * inputs.size * kept
    left = (goal - values) @ inputs.correlation * kept
    along, size = left, _squares(left)
    enough = _RESTING**2 * _squares(goal)
    for _ in range(steps):
        if (size <= enough).all():
            break
        turned = along @ inputs.correlation * kept
        reach = (along * turned).sum(axis=1, keepdims=True)
        length = np.divide(size, reach, out=np.zeros_like(size), where=reach > 0)
        values = values + length * along
        left = left - length * turned
        before, size = size, _squares(left)
        along = left + np.divide(size, before, out=np.zeros_like(size), where=before > 0) * along
    return values / inputs.size


def _squares(rows: Matrix) -> Matrix:
    """Sums of squares of each row, [rows, 1]."""
    sums: Matrix = np.square(rows).sum(axis=1, keepdims=True)
    return sums


def _ahead(before: Matrix, after: Matrix, ahead: Matrix, momentum: float) -> tuple[Matrix, float, bool]:
    """From where the next step is taken, its momentum, and whether this step changed nothing any more."""
    step = after - before
    rests = bool(np.linalg.norm(step) <= _RESTING * np.linalg.norm(after))
    if float(np.vdot(ahead - after, step)) > 0:
        return after, 1.0, rests
    following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
    return after + np.float32((momentum - 1) / following) * step, following, rests
