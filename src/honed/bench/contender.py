"""One system with one model and one workload, ready to be measured in processes of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from honed.bench.workload import Workload


@dataclass(frozen=True)
class Contender:
    """`open_function` names a function ("module:name") that takes `arguments` and returns a `Runner`, called in the
    worker; `environment` is set before the worker starts."""

    system: str
    model: str
    open_function: str
    arguments: Mapping[str, Any]
    prompts: tuple[tuple[int, ...], ...]
    """One for each sequence of the workload, all of its prompt length."""
    file_bytes: int | None
    """Size of the files that hold the weights."""
    workload: Workload
    environment: Mapping[str, str] = field(default_factory=dict)
    interpreter: str | None = None
    """The Python that the worker runs in; None: the running one. Another one has honed's own files and nothing that
    honed depends on (`bench/isolate.py`)."""
    variant: str = ""
    """A setting that is tried beside others. Contenders that differ in nothing else are one row of the report, in which
    the better figure counts for each column."""
    new_tokens: int | None = None
    """Tokens of each sequence that are timed; None: those of the workload. Fewer where the context leaves no more."""

    @property
    def timed_tokens(self) -> int:
        return self.workload.new_tokens if self.new_tokens is None else self.new_tokens


@dataclass(frozen=True)
class Skipped:
    """What could not be measured, and why. `workload` None: with none of them."""

    system: str
    model: str
    reason: str
    workload: Workload | None = None
