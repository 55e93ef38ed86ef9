"""Orthogonal matrices by which features are turned: random ones, and those of Hadamard, which spread every feature
over all others evenly.

A Hadamard matrix has entries of 1 and -1 and orthogonal rows. Its order is 1, 2 or a multiple of 4. Here are those that
products (Sylvester 1867) of the two constructions of Paley (1933) over prime fields reach: 576 is 72 * 8, 960 is
480 * 2. Everything is float64, and the same for the same seed.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Wide = NDArray[np.float64]


def random_orthogonal(width: int, random: np.random.Generator) -> Wide:
    """[width, width], uniformly distributed (Mezzadri 2007)."""
    q, r = np.linalg.qr(random.standard_normal((width, width)))
    return np.asarray(q * np.where(np.diag(r) < 0, -1.0, 1.0))


def random_hadamard(width: int, random: np.random.Generator) -> Wide:
    """[width, width]: a Hadamard matrix over the root of its width, its rows with random signs (Ashkboos et al. 2024,
    "QuaRot"). Of a width that none is known of here, that of the largest factor that there is one of, times a random
    orthogonal matrix of the rest: features then spread over blocks evenly, and within blocks at random."""
    order = max(factor for factor in range(1, width + 1) if width % factor == 0 and _parts(factor) is not None)
    turn: Wide = np.asarray(hadamard(order) / np.sqrt(order), np.float64)
    if order != width:
        turn = np.asarray(np.kron(turn, random_orthogonal(width // order, random)), np.float64)
    signs: Wide = random.choice(np.array([-1.0, 1.0]), width)
    turn *= signs[:, None]
    return turn


def keeping_mean(turn: Wide) -> Wide:
    """An orthogonal matrix like `turn` that leaves the mean of a row as it is, and so everything that is subtracted by
    a LayerNorm: what it made of the row of ones is mirrored back onto it (Householder 1958)."""
    ones = np.full(len(turn), len(turn) ** -0.5)
    normal = ones @ turn - ones
    length = float(normal @ normal)
    if length < 1e-24:
        return turn
    return np.asarray(turn - 2.0 / length * np.outer(turn @ normal, normal))


def hadamard(order: int) -> Wide:
    """A Hadamard matrix, of 1 and -1. ValueError where none is known here."""
    parts = _parts(order)
    if parts is None:
        raise ValueError(f"no Hadamard matrix of order {order} is known here")
    made: Wide = np.ones((1, 1))
    for part in parts:
        made = np.asarray(np.kron(made, _prime(part)), np.float64)
    return made


@lru_cache(maxsize=1024)
def _parts(order: int) -> tuple[int, ...] | None:
    """Orders that `_prime` gives, whose product it is."""
    if order == 1:
        return ()
    if _field(order) is not None:
        return (order,)
    for factor in range(order // 2, 1, -1):
        if order % factor == 0 and _field(factor) is not None:
            rest = _parts(order // factor)
            if rest is not None:
                return (factor, *rest)
    return None


def _field(order: int) -> int | None:
    """The prime field over which a matrix of that order is made; 1 of the order 2, which needs none."""
    if order == 2:
        return 1
    if order % 4 == 0 and _is_prime(order - 1):
        return order - 1
    half = order // 2 - 1
    return half if order % 4 == 0 and half % 4 == 1 and _is_prime(half) else None


def _prime(order: int) -> Wide:
    field = _field(order)
    assert field is not None  # of parts alone
    two = np.array([[1.0, 1.0], [1.0, -1.0]])
    if field == 1:
        return two
    edge = np.ones(field)
    residues = -edge
    residues[np.unique(np.arange(1, field) ** 2 % field)] = 1.0
    residues[0] = 0.0
    places = np.arange(field)
    core = np.zeros((field + 1, field + 1))
    core[0, 1:], core[1:, 0] = edge, edge if field % 4 == 1 else -edge
    core[1:, 1:] = residues[(places[:, None] - places) % field]
    if field % 4 == 3:
        return np.asarray(np.eye(order) + core)
    return np.asarray(np.kron(core, two) + np.kron(np.eye(field + 1), np.array([[1.0, -1.0], [-1.0, -1.0]])))


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))
