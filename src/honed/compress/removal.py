"""Which units of a matrix's inputs matter least, and how the columns that stay make up for those that go.

Of W [out, in] and the Gram matrix G of what enters, the outputs change by tr((W - V) G (W - V)^T) when V is taken in
its place. Of all V that have the columns k alone the best is W_k + W_r G_rk inv(G_kk), r being those removed (least
squares); a damped G keeps it near W_k, so its error is never more than that of W_k itself. Sums are in float64.
Not here: where G comes from (`observe.py`), and what else goes with a column (`narrowing.py`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Wide = NDArray[np.float64]
Indices = NDArray[np.intp]

ROUNDS = 16
"""In which units go by what the rest can make up for: between two of them the rest is made to."""


def energy(weight: Wide, gram: Wide, columns: int) -> Wide:
    """Of each unit of `columns` inputs, what it alone adds to the outputs: tr(W_u G_uu W_u^T)."""
    units = _runs(weight, columns)
    energies: Wide = np.einsum("uoi,uij,uoj->u", units, _diagonal(gram, columns), units, optimize=True)
    return energies


def largest(scores: Wide, keep: int) -> Indices:
    """The places of the `keep` largest, ascending; of equal ones the first."""
    return np.sort(np.argsort(-scores, kind="stable")[:keep])


def damped(gram: Wide, damping: float) -> Wide:
    """G with a share of its mean diagonal added to the diagonal."""
    mean = float(np.diag(gram).mean())
    return gram + damping * (mean if mean > 0 else 1.0) * np.eye(len(gram))


def made_up_for(weight: Wide, gram: Wide, kept: Indices) -> Wide:
    """The columns `kept` of W [out, in], moved so that they make up best for the others: [out, kept]. `gram` is damped,
    so that it has an inverse."""
    removed = np.setdiff1d(np.arange(weight.shape[1]), kept)
    asked = gram[np.ix_(kept, removed)] @ weight[:, removed].T
    return weight[:, kept] + _solved(gram[np.ix_(kept, kept)], asked).T


def least_missed(weight: Wide, gram: Wide, columns: int, keep: int) -> Indices:
    """The `keep` units that are left when those go which the others make up for best, a share of them in each of some
    rounds: by W_u inv(inv(G)_uu) W_u^T, with W and inv(G) as they are after the rounds before (Hassibi and Stork 1993;
    for structures Kurtic et al. 2023, "ZipLM"). `gram` is damped."""
    count = weight.shape[1] // columns
    left = np.arange(count)
    inverse = _solved(gram, np.eye(len(gram)))
    step = -(-(count - keep) // ROUNDS)
    while len(left) > keep:
        own = _diagonal(inverse, columns)
        units = _runs(weight, columns)
        losses = np.einsum("uoi,uij,uoj->u", units, np.linalg.inv(own), units, optimize=True)
        stay = largest(losses, max(keep, len(left) - step))
        goes = _inputs(np.setdiff1d(np.arange(len(left)), stay), columns)
        stays = _inputs(stay, columns)
        moves = _solved(inverse[np.ix_(goes, goes)], inverse[np.ix_(goes, stays)])
        weight = weight[:, stays] - weight[:, goes] @ moves
        inverse = inverse[np.ix_(stays, stays)] - inverse[np.ix_(stays, goes)] @ moves
        left = left[stay]
    return left


def _solved(square: Wide, of: Wide) -> Wide:
    found = np.linalg.solve(square, of)
    return found.astype(np.float64, copy=False)


def _diagonal(square: Wide, columns: int) -> Wide:
    """The squares of `columns` along the diagonal: [units, columns, columns]."""
    firsts = range(0, len(square), columns)
    return np.stack([square[first : first + columns, first : first + columns] for first in firsts])


def _runs(weight: Wide, columns: int) -> Wide:
    """[units, out, columns]"""
    return weight.reshape(len(weight), -1, columns).transpose(1, 0, 2)


def _inputs(units: Indices, columns: int) -> Indices:
    return (units[:, None] * columns + np.arange(columns)).ravel()
