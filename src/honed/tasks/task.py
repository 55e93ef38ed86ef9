"""What a task over an encoder is: a thing that is given, read as one or several inputs, and what their rows say of it.

A task sees the rows of one thing at a time, so nothing that is computed here depends on what stands beside it. Not
here: running inputs in steps (`api/encode_thread.py`), and what callers write (`api/pipelines/`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from honed.backends.encoder import Output
from honed.errors import ParameterError
from honed.text.encoder_input import EncoderInput, EncoderTexts

Given_contra = TypeVar("Given_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)
Rows = NDArray[np.float32]
Scores = NDArray[np.float64]
Function = Literal["softmax", "sigmoid", "none"]
FUNCTIONS: tuple[Function, ...] = ("softmax", "sigmoid", "none")
TextOrPair = str | tuple[str, str] | Mapping[str, str]
"""A text, or two that are read together: as a pair, or as transformers has it, {"text": ..., "text_pair": ...}."""


class EncoderTask(Protocol[Given_contra, Result_co]):
    """One task with its settings. Safe for several threads at once."""

    @property
    def output(self) -> Output:
        """What is asked of the backend: a row for each input, or one for each of its tokens."""

    def inputs(self, given: Given_contra) -> Sequence[EncoderInput]:
        """What is given, as the model reads it; at least one. ParameterError names what is wrong with it."""

    def kept(self, given: EncoderInput) -> Sequence[int] | None:
        """Of an output with a row a token: the places of the rows that `result` needs, in their order; None: all."""

    def result(self, given: Any, inputs: Sequence[EncoderInput], rows: Sequence[Rows]) -> Result_co:
        """What the rows say; rows[i] are those of inputs[i]: [columns], or [kept tokens, columns]."""


def read(texts: EncoderTexts, given: object) -> EncoderInput:
    """A text or a pair as the model reads it. ParameterError for anything else."""
    first, second = split(given)
    found = texts.encode(first) if second is None else texts.encode_pair(first, second)
    if not found.tokens:
        raise ParameterError("text", given, "holds no token")
    return found


def split(given: object) -> tuple[str, str | None]:
    """The text, and the one that is read behind it, if there is one."""
    if isinstance(given, str):
        return given, None
    first: object = None
    second: object = None
    if isinstance(given, Mapping) and not given.keys() - {"text", "text_pair"}:
        first, second = given.get("text"), given.get("text_pair")
    elif isinstance(given, tuple | list) and len(given) == 2 and isinstance(given[1], str):
        first, second = given
    if isinstance(first, str) and (second is None or isinstance(second, str)):
        return first, second
    raise ParameterError("text", given, 'must be a text, or a pair as {"text": ..., "text_pair": ...}')


def probabilities(logits: Rows, function: Function) -> Scores:
    """Of the last axis, in float64. softmax: they come to 1; sigmoid: each for itself; none: as they are."""
    exact: Scores = logits.astype(np.float64)
    if function == "softmax":
        powers = np.exp(exact - exact.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
    if function == "sigmoid":
        small = np.exp(-np.abs(exact))
        return np.asarray(np.where(exact >= 0, 1.0, small) / (1.0 + small))
    return exact


def order(scores: Scores) -> list[int]:
    """Places from the highest score to the lowest; of equal ones, the first stands first."""
    return [int(place) for place in np.argsort(-scores, kind="stable")]
