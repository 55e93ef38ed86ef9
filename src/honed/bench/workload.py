"""What is run: a prompt of a given length, then greedy decoding of a given length, on a given number of threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from honed.errors import ParameterError
from honed.text.corpora import python_topics

FIRST_PROMPT = "The capital of France is"
"""The short prompt behind the time from process start to first token."""


@dataclass(frozen=True)
class Workload:
    """One sequence at a time. `runs` is the number of processes started for each system."""

    prompt_tokens: int = 512
    new_tokens: int = 128
    threads: int = 1
    runs: int = 5

    def __post_init__(self) -> None:
        for name, least in (("prompt_tokens", 1), ("new_tokens", 2), ("threads", 1), ("runs", 1)):
            value = getattr(self, name)
            if value < least:
                raise ParameterError(name, value, f"must be at least {least}")

    @property
    def positions(self) -> int:
        """The longest sequence of the workload."""
        return self.prompt_tokens + self.new_tokens

    @property
    def mean_decode_position(self) -> float:
        """Keys that an average decode step reads: the first one reads the prompt and its own token."""
        return self.prompt_tokens + self.new_tokens / 2


def prompt_ids(encode: Callable[[str], list[int]], count: int) -> list[int]:
    """The first `count` tokens of the default text, which is read over again for a prompt longer than it is."""
    text = python_topics().text
    ids = encode(text[: 8 * count])
    if len(ids) < count:
        ids = encode(text)
    while len(ids) < count:
        ids = ids + ids
    return ids[:count]
