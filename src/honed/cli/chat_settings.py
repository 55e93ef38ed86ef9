"""How `honed chat` samples: its own defaults, and what /set changes.

A small model that always takes the most probable token soon says the same thing over and over. So where a checkpoint
asks for no sampling, chat samples all the same, unlike `honed generate` and the Python API: with `CHAT`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from honed.errors import ParameterError, quoted
from honed.records import dataclass
from honed.runtime.options import SamplingOptions
from honed.runtime.request import Sampling

CHAT = Sampling(temperature=0.7, top_p=0.9, min_p=0.05, repetition_penalty=1.1, repetition_scope="reply")
"""For a checkpoint without settings of its own."""

_KINDS: dict[str, Callable[[str], Any]] = {
    "temperature": float,
    "top_k": int,
    "top_p": float,
    "min_p": float,
    "repetition_penalty": float,
    "presence_penalty": float,
    "frequency_penalty": float,
    "dry_multiplier": float,
    "seed": int,
    "max_tokens": int,
}


@dataclass(frozen=True)
class ChatSettings:
    """sampling: of every reply. max_tokens: of one reply at most."""

    sampling: Sampling
    max_tokens: int

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ParameterError("max_tokens", self.max_tokens, "must be at least 1")

    def changed(self, name: str, value: str) -> ChatSettings:
        """With one setting as the user typed it. Unknown, malformed or out of range: ParameterError."""
        name = name.lower().replace("-", "_")
        if name not in _KINDS:
            raise ParameterError("/set", name, f"must be one of {', '.join(_KINDS)}{_closest(name)}")
        kind = _KINDS[name]
        try:
            number = kind(value)
        except ValueError:
            expected = "a whole number" if kind is int else "a number"
            raise ParameterError(name, value, f"must be {expected}") from None
        if name == "max_tokens":
            return replace(self, max_tokens=number)
        return replace(self, sampling=replace(self.sampling, **{name: number}))

    def for_reply(self, attempt: int) -> Sampling:
        """`attempt`: how often the same turn was answered before; a fixed seed moves on by it, so that another try
        gives another reply."""
        seed = self.sampling.seed
        return self.sampling if seed is None else replace(self.sampling, seed=(seed + attempt) % 2**64)

    def shown(self) -> str:
        """Every setting in one line."""
        held = {**asdict(self.sampling), "max_tokens": self.max_tokens}
        return ", ".join(f"{name} {'new for each reply' if held[name] is None else held[name]}" for name in _KINDS)


def starting_sampling(defaults: Sampling, given: SamplingOptions) -> Sampling:
    """Of a conversation: what the user gave, over the checkpoint's own, over `CHAT`.

    Who asks for temperature 0 gets greedy decoding and nothing of `CHAT`.
    """
    base = defaults
    if defaults.temperature == 0 and given.temperature != 0:
        penalty = defaults.repetition_penalty
        base = CHAT if penalty == 1 else replace(CHAT, repetition_penalty=penalty, repetition_scope="all")
    return replace(base, **given.chosen)


def _closest(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, _KINDS, n=1)
    return f"; did you mean {quoted(near[0])}?" if near else ""
