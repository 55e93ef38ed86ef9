"""What is asked of a server, and when: so many requests of given lengths, at a rate or so many at a time.

Arrivals at a rate are a Poisson process: the time to the next request is exponentially distributed, whatever the server
does meanwhile (an open loop). With `streams` alone, each answered request makes place for the next (a closed loop).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from honed.errors import ParameterError
from honed.parameters import real_number, whole_number
from honed.text.corpora import python_topics

MOST = 1 << 24
_ROUTES = {"chat": "/v1/chat/completions", "completions": "/v1/completions"}
KINDS = tuple(_ROUTES)
_SEED_WORDS = 997
"""So many words further begin the prompts of the next seed: a server finds none of an earlier run."""
_WORDS_A_TOKEN = 0.7
"""For the first guess of how long a text of so many tokens is."""


@dataclass(frozen=True, kw_only=True)
class LoadPlan:
    """kind: which route is asked, chat or completions. requests: so many in all. rate: arrivals a second, None for as
    soon as one of `streams` is free. prompt_tokens, new_tokens: lengths; of the prompt by the server's own count, which
    is asked first. shared_tokens: so many at the beginning of all prompts are the same. cancel, invalid: shares of
    requests that are broken off while they stream, and that are not valid. seconds: no further request is begun after
    so many. timeout: of one request, in seconds."""

    kind: str = "completions"
    requests: int = 100
    rate: float | None = None
    streams: int = 16
    prompt_tokens: int = 128
    new_tokens: int = 128
    shared_tokens: int = 0
    temperature: float = 0.0
    cancel: float = 0.0
    invalid: float = 0.0
    seconds: float | None = None
    timeout: float = 600.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in _ROUTES:
            raise ParameterError("kind", self.kind, f"must be one of {', '.join(KINDS)}")
        for name in ("requests", "streams", "prompt_tokens", "new_tokens"):
            whole_number(name, getattr(self, name), 1, MOST)
        whole_number("shared_tokens", self.shared_tokens, 0, self.prompt_tokens)
        whole_number("seed", self.seed, 0)
        if self.rate is not None:
            real_number("rate", self.rate, None, 1e6, over=0, expected="must be over 0 requests a second")
        for name in ("cancel", "invalid"):
            real_number(name, getattr(self, name), 0, 1)
        real_number("temperature", self.temperature, 0, 2)
        real_number("timeout", self.timeout, None, 86400, over=0, expected="must be over 0 seconds")

    @property
    def route(self) -> str:
        """Path of what is asked."""
        return _ROUTES[self.kind]

    @property
    def label(self) -> str:
        """In words."""
        when = f"{self.streams} streams" if self.rate is None else f"{self.rate:g} requests/s (Poisson)"
        shared = f", the first {self.shared_tokens} of them the same" if self.shared_tokens else ""
        return (
            f"{self.requests} requests, {when}, {self.prompt_tokens} prompt{shared} and {self.new_tokens} new tokens, "
            f"{self.kind}"
        )

    def arrivals(self) -> list[float]:
        """Seconds from the start at which each request is sent; all 0 in a closed loop."""
        if self.rate is None:
            return [0.0] * self.requests
        draw, now, times = random.Random(self.seed), 0.0, []
        for _ in range(self.requests):
            now += draw.expovariate(self.rate)
            times.append(now)
        return times

    def fates(self) -> list[str]:
        """Of each request: whole, cancel or invalid."""
        draw = random.Random(self.seed + 1)
        found = []
        for _ in range(self.requests):
            mark = draw.random()
            found.append(
                "cancel" if mark < self.cancel else "invalid" if mark < self.cancel + self.invalid else "whole"
            )
        return found


class Prompts:
    """Texts of a wanted length in tokens, by the count of the server; no two begin alike, but for what is shared."""

    def __init__(self, plan: LoadPlan) -> None:
        self._words = python_topics().text.split()
        self._plan = plan
        self.words_per_token = _WORDS_A_TOKEN

    def calibrate(self, words: int, tokens: int) -> None:
        """Takes the server's word for it: so many words were so many tokens."""
        self.words_per_token = words / max(1, tokens)

    def text(self, number: int) -> str:
        """The prompt of request `number`."""
        first = self._plan.seed * _SEED_WORDS
        shared = self._cut(first, self._plan.shared_tokens)
        own = self._plan.prompt_tokens - self._plan.shared_tokens
        return (
            " ".join([*shared, f"{number}:", *self._cut(first + 1 + number * max(1, own), own)])
            if own
            else " ".join(shared)
        )

    def _cut(self, start: int, tokens: int) -> list[str]:
        count = max(0, round(tokens * self.words_per_token))
        words = self._words
        return [words[(start + index) % len(words)] for index in range(count)]
