"""The product of two matrices of a low rank that is nearest to a third by what it does to given inputs.

Of W [out, in] and the Gram matrix G of what enters, G = L L^T, the error of the outputs is |(W - A B) L|. It is least
where A B L is the truncated singular value decomposition of W L (Eckart and Young 1936; Wang et al. 2024, "SVD-LLM",
which whitens so; Yuan et al. 2023, "ASVD", scales by feature). Of the decomposition only one side is needed: U_r of it
gives A B = U_r U_r^T W, and V_r gives A B = W L V_r V_r^T L^-1; so the eigenvectors of the smaller of two symmetric
matrices are found, in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Wide = NDArray[np.float64]

_LEAST = 1e-7
"""Of the largest singular value: what is below it is no direction that the inputs take, and divides nothing."""


@dataclass(frozen=True)
class LowRank:
    """What W comes to, of any rank.

    energies: the squares of the singular values of W L, descending: that of the outputs that each rank more keeps.
    outer [out, most], inner [most, in]: their first r columns and rows are the factors of rank r, which share its
    singular values evenly.
    """

    energies: Wide
    outer: Wide
    inner: Wide

    def factors(self, rank: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """A [out, rank] and B [rank, in]. ValueError for a rank that is not from 1 to min(out, in)."""
        if not 1 <= rank <= len(self.inner):
            raise ValueError(f"rank {rank} must be from 1 to {len(self.inner)}")
        return self.outer[:, :rank].astype(np.float32), self.inner[:rank].astype(np.float32)


def low_rank(weight: NDArray[np.float32], gram: Wide | None, *, damping: float) -> LowRank:
    """`gram` [in, in], None where all inputs count the same. `damping`: a share of the mean of its diagonal that is
    added to the diagonal, so that inputs which the calibration did not have count too."""
    wide = weight.astype(np.float64)
    outputs, inputs = wide.shape
    damped = None if gram is None else _damped(gram, damping)
    if outputs <= inputs:
        energies, left = _descending((wide if damped is None else wide @ damped) @ wide.T)
        scale = _scale(energies)
        return LowRank(energies, left * scale, (left.T @ wide) / scale[:, None])
    lower = None if damped is None else np.linalg.cholesky(damped)
    whitened = wide if lower is None else wide @ lower
    energies, right = _descending(whitened.T @ whitened)
    scale = _scale(energies)
    unwhitened = right if lower is None else np.linalg.solve(lower.T, right)
    return LowRank(energies, (whitened @ right) / scale, unwhitened.T * scale[:, None])


def _damped(gram: Wide, damping: float) -> Wide:
    mean = float(gram.diagonal().mean())
    return gram + np.eye(len(gram)) * (damping * mean if mean > 0 else 1.0)


def _descending(symmetric: Wide) -> tuple[Wide, Wide]:
    """Eigenvalues, the largest first, none of them negative, and their vectors as columns."""
    values, vectors = np.linalg.eigh(symmetric)
    return np.maximum(values[::-1], 0.0), np.ascontiguousarray(vectors[:, ::-1])


def _scale(energies: Wide) -> Wide:
    """The square roots of the singular values, 1 for all where there are none."""
    singular = np.sqrt(energies)
    return np.sqrt(np.maximum(singular, _LEAST * singular[0])) if singular[0] > 0 else np.ones_like(singular)
