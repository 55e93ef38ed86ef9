"""What a step of the engine reports. A request ends with exactly one Finished or Failed."""

from __future__ import annotations

from honed.records import dataclass
from honed.runtime.request import FinishReason


@dataclass(frozen=True)
class Generated:
    """One more token of a request."""

    request_id: int
    token: int


@dataclass(frozen=True)
class Finished:
    """The request is done."""

    request_id: int
    reason: FinishReason


@dataclass(frozen=True)
class Failed:
    """The request ended with an error of its own; the others of its batch went on."""

    request_id: int
    error: Exception


Event = Generated | Finished | Failed


@dataclass(frozen=True)
class Output:
    """A whole request's result: `tokens` without the stop token that ended it."""

    tokens: tuple[int, ...]
    reason: FinishReason
