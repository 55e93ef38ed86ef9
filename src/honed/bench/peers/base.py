"""What a measured system offers, in the process that is measured and in the one that plans. Interfaces only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from honed.bench.contender import Contender
from honed.bench.workload import Workload

if TYPE_CHECKING:  # the measured process imports this file and reads no checkpoint through it
    from honed.checkpoints.base import Checkpoint

Arithmetic = Literal["int8", "float32", "other"]
"""What most multiplications of the linear layers are done in, where a probe of the machine's peak exists for it."""


@dataclass(frozen=True)
class Footprint:
    """What one token costs a system, from which its limits follow. See `bench/limits.py`."""

    weight_bytes: int
    """Bytes of weights read for one decoded token: every matrix once, one row of the embedding table."""
    kv_bytes_per_position: int
    """Bytes of keys and values that one position of context holds, all layers."""
    prompt_operations: int
    """Operations (two a multiply-add) of the linear layers for one token of a prompt, the head left out."""
    head_operations: int
    """Operations of the head for one row of logits."""
    arithmetic: Arithmetic


class Runner(Protocol):
    """A model loaded and ready, in the process that is measured."""

    @property
    def footprint(self) -> Footprint: ...

    @property
    def isa(self) -> str | None:
        """The instruction set in use, where the system says."""

    @property
    def dtype(self) -> str:
        """How weights are held, in the system's own words."""

    def encode(self, text: str) -> list[int]:
        """Ids of a text."""

    def generate(self, prompt: Sequence[int], new_tokens: int) -> Iterator[int]:
        """Greedy decoding of exactly `new_tokens` tokens, each given as soon as it is known; no token ends it early."""


class Peer(Protocol):
    """Another system, seen from the process that plans: no heavy import happens here."""

    @property
    def name(self) -> str: ...

    def unavailable(self) -> str | None:
        """Why it cannot run on this machine, or None."""

    def contender(self, model: str, checkpoint: Checkpoint, workload: Workload) -> Contender:
        """Prepares the files that it needs (converting and caching where it cannot read the checkpoint)."""
