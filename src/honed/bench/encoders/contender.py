"""One system with one encoder and one workload, and what it offers where it is measured. Interfaces only.

Also imported by the measured process of another system: the standard library and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from honed.bench.encoders.workload import EncodeWorkload
from honed.bench.peers.base import Announce

if TYPE_CHECKING:  # the measured process imports this file and reads no checkpoint through it
    from honed.checkpoints.base import Checkpoint

Vectors = Sequence[Sequence[float]]
Asked = Literal["vectors", "classes", "tags"]
"""Of a text: its vector, or the logits of its head: one for each class, or of each token one for each tag, a token
behind the other."""


@dataclass(frozen=True)
class EncodeContender:
    """`open_function` names a function ("module:name") that takes `arguments` and returns an `EncodeRunner`, called in
    the worker; `environment` is set before the worker starts."""

    system: str
    model: str
    open_function: str
    arguments: Mapping[str, Any]
    texts: tuple[tuple[int, ...], ...]
    file_bytes: int | None
    workload: EncodeWorkload
    environment: Mapping[str, str] = field(default_factory=dict)
    interpreter: str | None = None
    """The Python that the worker runs in; None: the running one."""


@dataclass(frozen=True)
class EncodeSkipped:
    """What could not be measured, and why."""

    system: str
    model: str
    reason: str
    workload: EncodeWorkload | None = None


class EncodeRunner(Protocol):
    """An encoder loaded and ready, in the process that is measured."""

    @property
    def isa(self) -> str | None:
        """The instruction set in use, where the system says."""

    @property
    def dtype(self) -> str:
        """How weights are held, in the system's own words."""

    def encode(self, texts: Sequence[Sequence[int]]) -> Any:
        """What is asked for of texts, in arrays of whatever library. Vectors are pooled as the checkpoint says."""

    def numbers(self, vectors: Any) -> Vectors:
        """The same as plain numbers; not timed."""


@dataclass(frozen=True)
class EncodePlan:
    """What every system runs alike. asked: for each text; pooling (mean, cls or last) and normalize are of vectors.
    types: whether the model is given token types."""

    workload: EncodeWorkload
    texts: tuple[tuple[int, ...], ...]
    pooling: str
    normalize: bool
    types: bool
    heads: int
    width: int
    asked: Asked = "vectors"


class EncodePeer(Protocol):
    """Another system, seen from the process that plans: no heavy import happens here."""

    @property
    def name(self) -> str: ...

    def contenders(
        self, model: str, checkpoint: Checkpoint, plan: EncodePlan, announce: Announce
    ) -> Sequence[EncodeContender]:
        """Makes its environment and files where they are not there yet. Errors: HonedError where it cannot."""
