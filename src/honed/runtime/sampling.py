"""The choice of the next token from logits. A result depends on the logits, the settings and the seed alone.

Not here: the settings and their ranges, which are `Sampling` in `runtime/request.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from honed.errors import HonedError
from honed.later import numpy as np
from honed.runtime.exponential import exp_nonpositive
from honed.runtime.request import Sampling

if TYPE_CHECKING:
    from numpy.typing import NDArray


_HEAD = 256
"""Tokens that nucleus sampling sorts first; the nucleus of a language model seldom has more."""


class Sampler:
    """Chooses the tokens of one request, with a random stream of its own (Philox, Salmon et al. 2011)."""

    def __init__(self, sampling: Sampling, prompt: Iterable[int], vocabulary: int) -> None:
        self._sampling = sampling
        self._seen: NDArray[np.bool_] | None = None
        if sampling.repetition_penalty != 1:
            self._seen = np.zeros(vocabulary, dtype=np.bool_)
            self._seen[list(prompt)] = True

    @property
    def is_argmax(self) -> bool:
        """Whether the choice is the greatest logit and nothing else: no penalty, no draw."""
        return self._sampling.temperature == 0 and self._seen is None

    @cached_property
    def _stream(self) -> np.random.Philox:
        # Made for the first draw: greedy decoding needs none, and numpy.random takes a while to import.
        seed = self._sampling.seed
        if seed is None:
            import secrets

            seed = secrets.randbits(64)
        return np.random.Philox(key=seed)

    def choose(self, logits: NDArray[np.float32]) -> int:
        """The next token, from logits [vocabulary], which are not changed. NaN or infinite ones: HonedError."""
        _require_finite(logits)
        settings = self._sampling
        if self._seen is not None:
            logits = _penalize(logits, self._seen, settings.repetition_penalty)
        if settings.temperature == 0:
            token = int(np.argmax(logits))
        else:
            ids, weights = candidates(logits, settings)
            token = int(ids[_draw(weights, self._uniform())])
        if self._seen is not None:
            self._seen[token] = True
        return token

    def _uniform(self) -> float:
        """From [0, 1), 53 bits. Of the raw stream, which numpy keeps the same over its versions."""
        return (int(self._stream.random_raw()) >> 11) * 2.0**-53


def candidates(logits: NDArray[np.float32], settings: Sampling) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Ids that the filters keep, ascending, and their weights: probabilities up to a common factor, the largest 1.

    Among equal logits the lower id counts as the larger, so that exactly top_k remain. The nucleus of top_p is the
    shortest run of the most probable whose probabilities sum to top_p at least; min_p is relative to the largest.
    """
    ids = np.arange(logits.size)
    if 0 < settings.top_k < logits.size:
        ids = _largest(logits, settings.top_k)
    kept = logits[ids].astype(np.float64)
    # The maximum goes first: divided by a small temperature the differences stay finite, the logits may not.
    weights = exp_nonpositive((kept - kept.max()) / settings.temperature)
    if settings.top_p < 1:
        inside = _nucleus(weights, settings.top_p)
        ids, weights = ids[inside], weights[inside]
    if settings.min_p > 0:
        likely = weights >= settings.min_p
        ids, weights = ids[likely], weights[likely]
    return ids, weights


def _penalize(logits: NDArray[np.float32], seen: NDArray[np.bool_], penalty: float) -> NDArray[np.float32]:
    factor = np.float32(penalty)
    return np.where(seen, np.where(logits > 0, logits / factor, logits * factor), logits)


def _largest(values: NDArray[np.floating[Any]], count: int) -> NDArray[np.intp]:
    """Indices of the `count` largest, ascending; among equals the first."""
    threshold = np.partition(values, values.size - count)[values.size - count]
    above = np.flatnonzero(values > threshold)
    equal = np.flatnonzero(values == threshold)[: count - above.size]
    return np.sort(np.concatenate([above, equal]))


def _nucleus(weights: NDArray[np.float64], top_p: float) -> NDArray[np.intp]:
    """Indices, ascending, of the nucleus. Sorts only a head of the weights, larger each time that it was too small."""
    # cumsum adds one by one; sum would add in an order that depends on the instruction set.
    target = top_p * float(np.cumsum(weights)[-1])
    size = min(_HEAD, weights.size)
    while True:
        head = _largest(weights, size) if size < weights.size else np.arange(weights.size)
        order = head[np.argsort(-weights[head], kind="stable")]
        mass = np.cumsum(weights[order])
        if mass[-1] >= target or size == weights.size:
            length = int(np.searchsorted(mass, target)) + 1
            return np.sort(order[:length])
        size = min(size * 8, weights.size)


def _draw(weights: NDArray[np.float64], uniform: float) -> int:
    """Index with probability in proportion to its weight: the inverse of the distribution function."""
    mass = np.cumsum(weights)
    return min(int(np.searchsorted(mass, uniform * mass[-1], side="right")), weights.size - 1)


def _require_finite(logits: NDArray[np.float32]) -> None:
    finite = np.isfinite(logits)
    if finite.all():
        return
    bad = np.flatnonzero(~finite)
    raise HonedError(
        f"logits: {bad.size} of {logits.size} are not finite, the first is {logits[bad[0]]} for token {bad[0]}; "
        "the weights or the arithmetic of the backend are at fault"
    )
