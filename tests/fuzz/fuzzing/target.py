"""What a fuzz target says of itself."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Mutate = Callable[[bytes, random.Random, Sequence[bytes]], bytes]
"""(an input, the source of chance, all inputs so far) -> another input. What it cannot parse it treats as bytes."""


@dataclass(frozen=True)
class Limits:
    """What one input may take. CPU counts all threads of the process; memory is what is resident at the peak, beyond
    what the process had before.

    wall_seconds: after which a process that neither computes nor answers is killed.
    """

    refused_seconds: float = 1.0
    refused_bytes: int = 100 << 20
    accepted_seconds: float = 2.0
    accepted_bytes: int = 500 << 20
    wall_seconds: float = 20.0


@dataclass(frozen=True)
class Target:
    """One way in for data that nobody vouches for.

    read: takes an input, and a folder of its own that is empty. Returns where the input is accepted and raises a
        HonedError where it is refused; anything else that it raises is a fault.
    seeds: well-formed inputs, each of which must be accepted. They are made by the builders of the tests.
    cost: of an input, against a few milliseconds; so many times fewer are tried where their number is fixed.
    """

    name: str
    read: Callable[[bytes, Path], None]
    seeds: Callable[[], Sequence[bytes]]
    mutate: Mutate
    limits: Limits = Limits()
    cost: int = 1
