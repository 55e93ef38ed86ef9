"""What a step of the engine reports. A request ends with exactly one Finished or Failed."""

from __future__ import annotations

from honed.backends.base import Logprobs
from honed.records import dataclass
from honed.runtime.request import FinishReason


@dataclass(frozen=True)
class Queued:
    """The request is valid and waits. Reported by `EngineThread`, not by a step."""

    request_id: int


@dataclass(frozen=True)
class Started:
    """The request was admitted for the first time; `cached_tokens` of its prompt were found in the prefix cache."""

    request_id: int
    cached_tokens: int


@dataclass(frozen=True)
class PromptScored:
    """The next positions of the prompt of a request that asked for them, in order. The first position of a prompt has
    nothing before it and is never reported."""

    request_id: int
    scores: tuple[Logprobs, ...]


@dataclass(frozen=True)
class Generated:
    """One more token of a request. `logprobs`: where the request asked for them."""

    request_id: int
    token: int
    logprobs: Logprobs | None = None


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


Event = Queued | Started | PromptScored | Generated | Finished | Failed


@dataclass(frozen=True)
class Output:
    """A whole request's result: `tokens` without the stop token that ended it."""

    tokens: tuple[int, ...]
    reason: FinishReason
