"""The shape of a model file. Interfaces only.

A model file reads a config in Hugging Face form, names its weights as Hugging Face does, and writes the forward pass
once against `ops/table.py`. Everything else (torch reference, plan, checkpoints) follows from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from honed.ops.table import Ops, Weight
from honed.records import dataclass

Value = TypeVar("Value")
Config = Mapping[str, Any]
"""A config.json, or what the GGUF reader makes of its metadata in the same form."""


@dataclass(frozen=True)
class Dimensions:
    """What the cache, the batch and the checks need to know of any decoder."""

    vocabulary: int
    context: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int


class DecoderModel(Protocol):
    """A decoder-only language model."""

    @property
    def dimensions(self) -> Dimensions: ...

    def weights(self) -> Mapping[str, Weight]:
        """Every weight by its Hugging Face name. A tied head is not listed: it is the embedding table."""

    def forward(self, ops: Ops[Value]) -> Value:
        """Logits [R, vocabulary] of the selected rows."""
