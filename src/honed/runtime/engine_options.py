"""How an engine runs requests together, as one value. No result depends on any of it."""

from __future__ import annotations

from typing import TypedDict

from honed.parameters import choice, real_number, whole_number
from honed.records import dataclass
from honed.runtime.speculation import KINDS, SpeculationKind

LONGEST_STEP = 60.0
"""Seconds."""


class EngineKeywords(TypedDict, total=False):
    """The fields of `EngineOptions`, for functions that take them as keywords."""

    max_sequences: int
    speculation: SpeculationKind
    prefix_cache: bool
    max_waiting: int | None
    step_seconds: float | None


@dataclass(frozen=True)
class EngineOptions:
    """max_sequences: requests in one step at most; further ones wait. speculation: where guesses at the next tokens
    come from; off: nowhere, and what a grammar forces is not tried ahead either. prefix_cache: whether what is computed
    for one request is used again for others that begin alike. max_waiting: requests that wait at most, None: any
    number. step_seconds: that a step with prompts in it should take while others decode, or twice what decoding alone
    takes where that is more; None: prompts fill every step. Values out of range: ParameterError."""

    max_sequences: int = 64
    speculation: SpeculationKind = "prompt-lookup"
    prefix_cache: bool = True
    max_waiting: int | None = None
    step_seconds: float | None = None

    def __post_init__(self) -> None:
        whole_number("max_sequences", self.max_sequences, 1)
        choice("speculation", self.speculation, KINDS)
        if self.max_waiting is not None:
            whole_number("max_waiting", self.max_waiting, 1)
        if self.step_seconds is not None:
            real_number("step_seconds", self.step_seconds, None, LONGEST_STEP, over=0)


DEFAULT = EngineOptions()
