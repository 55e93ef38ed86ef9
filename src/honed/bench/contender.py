"""One system with one model, ready to be measured in processes of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Contender:
    """`open_function` names a function ("module:name") that takes `arguments` and returns a `Runner`, called in the
    worker; `environment` is set before the worker starts."""

    system: str
    model: str
    open_function: str
    arguments: Mapping[str, Any]
    prompt: tuple[int, ...]
    file_bytes: int | None
    """Size of the files that hold the weights."""
    environment: Mapping[str, str] = field(default_factory=dict)
    is_peer: bool = False
    """A peer that fails becomes a skipped row; honed failing is an error."""


@dataclass(frozen=True)
class Skipped:
    """A system that could not be measured, and why."""

    system: str
    model: str
    reason: str
