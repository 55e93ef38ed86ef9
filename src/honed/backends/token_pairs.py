"""Pairs of a token and a number, as two arrays: what a backend reads at once, without a Python object for each pair."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator
from typing import Generic, TypeVar

N = TypeVar("N", int, float)


class TokenPairs(Collection[tuple[int, N]], Generic[N]):
    """A collection of (token, value), each token once. tokens: int32; values: int32 ("i") or float64 ("d"), beside
    them. Whoever makes one gives the arrays away."""

    __slots__ = ("tokens", "values")

    def __init__(self, tokens: array[int], values: array[N]) -> None:
        self.tokens = tokens
        self.values: array[N] = values

    @classmethod
    def floats(cls, pairs: Iterable[tuple[int, float]]) -> TokenPairs[float]:
        """Of pairs as they are commonly written down."""
        kept = list(pairs)
        return TokenPairs(array("i", [token for token, _ in kept]), array("d", [value for _, value in kept]))

    def __len__(self) -> int:
        return len(self.tokens)

    def __iter__(self) -> Iterator[tuple[int, N]]:
        return zip(self.tokens, self.values, strict=True)

    def __contains__(self, pair: object) -> bool:
        return any(pair == own for own in self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TokenPairs) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"TokenPairs({list(self)})"
