"""Whether what a pass made of a weight is what was asked of it. Looked at when a weight is made, and again when it is
written, so that hours of work do not end in a model that was quietly spoiled.

Not here: whether a model is still a good one, which is measured (`evaluate/`).
"""

from __future__ import annotations

from honed.checkpoints.finite_weights import not_finite
from honed.compress.dense import row_chunks
from honed.encodings.base import Encoded
from honed.encodings.descriptor import Storable
from honed.encodings.scheme import Scheme, becomes
from honed.errors import HonedError


class OutcomeError(HonedError):
    """A pass made something else than was asked."""

    exit_code = 1

    def __init__(self, step: str, name: str, problem: str) -> None:
        super().__init__(f"{name}: {problem}; the pass {step} failed on it, and nothing is written")


def check_outcome(step: str, name: str, made: Encoded, shape: tuple[int, ...], scheme: Scheme | None) -> None:
    """`made` has this shape and, if one was announced, this scheme and no more bytes than that says; every value is
    finite. OutcomeError names the pass `step`."""
    if made.shape != shape:
        raise OutcomeError(step, name, f"became a weight of shape {made.shape} and not {shape}")
    if scheme is not None:
        found = str(made.scheme) if isinstance(made, Storable) else made.kind
        if not isinstance(made, Storable) or not becomes(scheme, made.scheme):
            raise OutcomeError(step, name, f"became {found} and not {scheme}, which was asked for")
        if made.nbytes > scheme.nbytes(shape):
            size, asked = made.nbytes, scheme.nbytes(shape)
            raise OutcomeError(step, name, f"takes {size} bytes and not {asked}, which {scheme} was asked to take")
    problem = not_finite(made)
    if problem is not None:
        raise OutcomeError(step, name, problem)


def check_not_lost(step: str, name: str, made: Encoded, source: Encoded) -> None:
    """An encoded weight is not zero throughout where what it was encoded from is not. OutcomeError names `step`."""
    if not _has_values(made) and _has_values(source):
        raise OutcomeError(step, name, f"became zero throughout as {made.kind}, and was not before")


def _has_values(weight: Encoded) -> bool:
    """Whether any is not zero. Decodes no more rows than it takes to tell."""
    return any(bool(weight.decode(rows).any()) for rows in row_chunks(weight.shape))
