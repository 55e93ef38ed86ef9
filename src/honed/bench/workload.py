"""What is run: prompts of a given length, then greedy decoding of a given length, on a given number of threads.

Also imported by the measured process of another system: the standard library and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from honed.parameters import whole_number
from honed.text.corpora import python_topics

FIRST_PROMPT = "The capital of France is"
"""The short prompt behind the time from process start to first token."""

MOST = 1 << 31
"""Of anything that a workload counts."""

_LETTERS_A_TOKEN = 8
"""Text that is tokenized for one token of a prompt: more than any tokenizer needs of English."""


@dataclass(frozen=True)
class Workload:
    """`batch` sequences decoded together, each with a prompt of its own. `runs` is the number of processes started for
    each system. `busy` CPUs are kept so by other processes meanwhile (`bench/competitors.py`)."""

    prompt_tokens: int = 512
    new_tokens: int = 128
    threads: int = 1
    runs: int = 5
    batch: int = 1
    busy: int = 0

    def __post_init__(self) -> None:
        least_of = {"prompt_tokens": 1, "new_tokens": 2, "threads": 1, "runs": 1, "batch": 1, "busy": 0}
        for name, least in least_of.items():
            # In Python's own type, whatever it was given in.
            self.__dict__[name] = whole_number(name, whole_number(name, getattr(self, name), least), None, MOST)

    @property
    def label(self) -> str:
        """In words: what is run, and beside what."""
        sequences = "1 sequence" if self.batch == 1 else f"{self.batch} sequences together"
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        busy = f", {self.busy_label}" if self.busy else ""
        return f"{self.prompt_tokens} prompt and {self.new_tokens} new tokens, {sequences}, {threads}{busy}"

    @property
    def busy_label(self) -> str:
        """What other processes take."""
        return f"{self.busy} CPU{'s' if self.busy > 1 else ''} kept busy by others"

    @property
    def positions(self) -> int:
        """The longest sequence of the workload."""
        return self.prompt_tokens + self.new_tokens


def workload_prompts(encode: Callable[[str], list[int]], workload: Workload) -> tuple[tuple[int, ...], ...]:
    """One prompt for each sequence: consecutive pieces of the default text, which is read over again where it is too
    short for all. The first one is the prompt of a batch of one."""
    count = workload.prompt_tokens
    ids = prompt_ids(encode, count * workload.batch)
    return tuple(tuple(ids[first : first + count]) for first in range(0, count * workload.batch, count))


def prompt_ids(encode: Callable[[str], list[int]], count: int) -> Sequence[int]:
    """The first `count` tokens of the default text, read over again where it is shorter than that."""
    text = python_topics().text
    ids = encode(text[: _LETTERS_A_TOKEN * count])
    if len(ids) < count:
        ids = encode(text)
    while len(ids) < count:
        ids = ids + ids
    return ids[:count]
