"""Philox4x64-10, a counter-based random generator (Salmon et al. 2011): the k-th number is a function of key and k.

numpy has the same stream as `Philox(key=seed).random_raw()`. It is written out here because a number for each token
is all that is needed, and importing numpy.random for it would take longer than a thousand tokens' numbers.
"""

from __future__ import annotations

_WORD = 2**64 - 1
_FACTOR_0, _FACTOR_2 = 0xD2E7470EE14C6C93, 0xCA5A826395121157
_STEP_0, _STEP_1 = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B
_ROUNDS = 10

BLOCK = 4
"""Numbers that one counter gives."""


def philox(key: int, counter: int) -> tuple[int, int, int, int]:
    """Four numbers of 64 bits, for a key under 2^128 and a counter under 2^256."""
    key_0, key_1 = key & _WORD, key >> 64
    a, b, c, d = (counter >> shift & _WORD for shift in (0, 64, 128, 192))
    for _ in range(_ROUNDS):
        first, second = a * _FACTOR_0, c * _FACTOR_2
        a, b, c, d = (second >> 64) ^ b ^ key_0, second & _WORD, (first >> 64) ^ d ^ key_1, first & _WORD
        key_0, key_1 = (key_0 + _STEP_0) & _WORD, (key_1 + _STEP_1) & _WORD
    return a, b, c, d


class Uniforms:
    """Numbers from [0, 1) of 53 bits, the k-th a function of (seed, k) alone."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._known: list[float] = []

    def __getitem__(self, index: int) -> float:
        known = self._known
        while index >= len(known):
            # The counter is raised before it is used: the first block is that of counter 1.
            block = philox(self._seed, len(known) // BLOCK + 1)
            known += [(word >> 11) * 2.0**-53 for word in block]
        return known[index]
