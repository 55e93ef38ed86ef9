"""Many texts through an encoder as a pipeline takes them: sorted by length, so many at a time, answers in the order
that texts came in.

Also imported by the measured process of another system: the standard library and nothing else.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from honed.bench.encoders.contender import EncodeContender, EncodeRunner, Vectors


def batched(contender: EncodeContender, batch: int) -> EncodeContender:
    """The contender, whose texts go through `batch` at a time instead of all at once."""
    arguments = {"open_function": contender.open_function, "arguments": dict(contender.arguments), "batch": batch}
    return replace(contender, open_function="honed.bench.encoders.batched:open_runner", arguments=arguments)


def open_runner(arguments: Mapping[str, Any]) -> EncodeRunner:
    """Loads in the worker. arguments: open_function, arguments, batch."""
    module, _, name = str(arguments["open_function"]).partition(":")
    opener: Callable[[Mapping[str, Any]], EncodeRunner] = getattr(importlib.import_module(module), name)
    return BatchedRunner(opener(arguments["arguments"]), arguments["batch"])


class BatchedRunner:
    """The measured side, around that of a system."""

    def __init__(self, runner: EncodeRunner, batch: int) -> None:
        self._runner = runner
        self._batch = batch

    @property
    def isa(self) -> str | None:
        return self._runner.isa

    @property
    def dtype(self) -> str:
        return self._runner.dtype

    def encode(self, texts: Sequence[Sequence[int]]) -> Any:
        """What each batch gave, and which texts were in it."""
        order = sorted(range(len(texts)), key=lambda place: -len(texts[place]))
        parts = [order[first : first + self._batch] for first in range(0, len(order), self._batch)]
        return [(part, self._runner.encode([texts[place] for place in part])) for part in parts]

    def numbers(self, vectors: Any) -> Vectors:
        found: list[Sequence[float]] = [()] * sum(len(part) for part, _ in vectors)
        for part, given in vectors:
            for place, vector in zip(part, self._runner.numbers(given), strict=True):
                found[place] = vector
        return found
