"""A system's own benchmark beside its adapter here: what the adapter measures has to agree with it.

Types only. Each adapter says in `own_tool` what its system brings; `bench/agreement.py` runs both and compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class OwnTool:
    """The tool set up for what one contender measures: the same files, threads, lengths and settings.

    `function` ("module:name") is called in a process of its own with `arguments`, as `bench/isolate.py` does it, and
    answers with `prefill_tok_s` and `decode_tok_s`: tokens a second, of all sequences together, as the tool has them.
    """

    name: str
    function: str
    arguments: Mapping[str, Any]
    interpreter: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class NoTool:
    """There is none to compare with, and why."""

    reason: str
