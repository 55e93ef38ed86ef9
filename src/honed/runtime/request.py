"""A request and what comes of it. Token ids only; text is made around the engine, not in it."""

from __future__ import annotations

import math
from dataclasses import field
from typing import Literal

from honed.errors import ParameterError
from honed.records import dataclass

FinishReason = Literal["stop", "length", "abort"]


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen from the logits.

    temperature 0 is greedy (lowest id among equals). top_k 0, top_p 1 and min_p 0 each keep everything;
    repetition_penalty 1 changes nothing (Keskar et al. 2019: positive logits of seen tokens are divided by it,
    negative ones multiplied). The filters apply in the order penalty, temperature, top_k, top_p, min_p.
    seed None draws a fresh one.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        def check(name: str, value: float, ok: bool, expected: str) -> None:
            if math.isnan(value) or not ok:
                raise ParameterError(name, value, expected)

        check("temperature", self.temperature, 0 <= self.temperature <= 2, "must be from 0 to 2")
        check("top_k", self.top_k, self.top_k >= 0, "must be 0 (off) or positive")
        check("top_p", self.top_p, 0 < self.top_p <= 1, "must be over 0 and at most 1")
        check("min_p", self.min_p, 0 <= self.min_p <= 1, "must be from 0 to 1")
        check(
            "repetition_penalty",
            self.repetition_penalty,
            0 < self.repetition_penalty <= 10,
            "must be over 0, at most 10",
        )
        if self.seed is not None and not 0 <= self.seed < 2**64:
            raise ParameterError("seed", self.seed, "must be from 0 to 2^64 - 1")


GREEDY = Sampling(temperature=0.0)


@dataclass(frozen=True)
class Request:
    """`stop_tokens` end the request with finish reason stop, and are not part of its output."""

    prompt: tuple[int, ...]
    max_tokens: int
    sampling: Sampling = GREEDY
    stop_tokens: frozenset[int] = field(default_factory=frozenset)
