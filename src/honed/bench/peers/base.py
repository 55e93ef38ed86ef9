"""What a measured system offers, in the process that is measured and in the one that plans. Interfaces only.

The measured process of another system runs in an environment that has neither honed's dependencies nor its extension:
this file and every adapter import the standard library alone, and everything else inside functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from honed.bench.contender import Contender
from honed.bench.peers.own_tool import NoTool, OwnTool
from honed.bench.workload import Workload
from honed.errors import MachineError

if TYPE_CHECKING:  # the measured process imports this file and reads no checkpoint through it
    from honed.checkpoints.base import Checkpoint

Arithmetic = Literal["int8", "float32", "other"]
"""What most multiplications of the linear layers are done in, where a probe of the machine's peak exists for it."""

Announce = Callable[[str], None]
"""Told what takes its time now: an installation, a conversion."""

Step = Sequence[tuple[int, int]]
"""The tokens that one step of a batch brought: index of the sequence, and its next token."""


class PeerError(MachineError):
    """Another system cannot be installed, cannot take a model, or failed. It becomes a row that says why."""


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
    expert_bytes: int = 0
    """Bytes of all experts, of which `weight_bytes` and the operations count what one token goes through."""
    expert_share: float = 1.0
    """That part of them."""

    def step_bytes(self, batch: int) -> float:
        """Bytes of weights read for a step of so many sequences, if each goes to experts of its own choice."""
        return self.weight_bytes + self.expert_bytes * (1 - (1 - self.expert_share) ** batch - self.expert_share)


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

    def generate_batch(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Iterator[Step]:
        """The same for several prompts of one length, decoded together. A step is given as soon as its tokens are
        known. It need not hold a token of every sequence: the prompts may be computed one after another, and those
        that are done may decode meanwhile. Those that are ahead then go on until the last one has its `new_tokens`, so
        that all decode together from its first token to its last.

        PeerError where the system cannot decode several sequences together.
        """


class Peer(Protocol):
    """Another system, seen from the process that plans: no heavy import happens here."""

    @property
    def name(self) -> str: ...

    def unavailable(self) -> str | None:
        """Why it cannot run on this machine, or None. Answers at once: nothing is installed to find out."""

    def contenders(
        self, model: str, checkpoint: Checkpoint, workload: Workload, announce: Announce
    ) -> Sequence[Contender]:
        """One contender for each variant worth trying, mostly one.

        Makes the environment of the system (`environment.py`) and the files that it needs (`conversion.py`) where they
        are not there yet. Called once for every workload, so what it makes must be found again at once.
        Errors: HonedError where one cannot be had.
        """

    def own_tool(self, contender: Contender, announce: Announce) -> OwnTool | NoTool:
        """The benchmark that the system brings itself, set up for the same as one of its contenders; made now where it
        is not there yet. NoTool where it brings none, or none that measures this. Errors as of `contenders`."""
