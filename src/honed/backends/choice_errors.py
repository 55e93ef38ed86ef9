"""Why a row of logits gives no token, in the words of every backend."""

from __future__ import annotations

from honed.errors import HonedError, ParameterError


def not_finite(count: int, size: int, place: int, value: float) -> HonedError:
    """Of `size` logits `count` are NaN or infinite, the first at `place`."""
    return HonedError(
        f"logits: {count} of {size} are not finite, the first is {value} for token {place}; "
        "the weights or the arithmetic of the backend are at fault"
    )


def none_allowed() -> HonedError:
    """Mask and bans leave no token."""
    return HonedError("the mask and the banned tokens leave no token that may be chosen; allow one at least")


def bad_token(field: str, token: int, vocabulary: int) -> ParameterError:
    """A field of a `RowChoice` names a token that there is not."""
    return ParameterError(field, token, f"must hold tokens from 0 to {vocabulary - 1}")
