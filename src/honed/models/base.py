"""The shape of a model file. Interfaces only.

A model file reads a config in Hugging Face form, names its weights as Hugging Face does, and writes the forward pass
once against `ops/record.py`. Everything else (torch reference, plan, checkpoints) reads the graph that this records.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from honed.ops.record import Node, Program, Recorder
from honed.ops.values import Weight
from honed.records import dataclass

Config = Mapping[str, Any]
"""A config.json, or what the GGUF reader makes of its metadata in the same form."""


@dataclass(frozen=True)
class Dimensions:
    """What the cache, the batch and the checks need to know of any model."""

    vocabulary: int
    context: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int


class DecoderSizes(Protocol):
    """A config, as far as it is the same of all decoders. hidden: columns of a row between blocks."""

    @property
    def dimensions(self) -> Dimensions: ...

    @property
    def hidden(self) -> int: ...


class Model(Protocol):
    """A model: a value, that is a frozen dataclass."""

    def __hash__(self) -> int: ...

    @property
    def dimensions(self) -> Dimensions: ...

    def programs(self) -> Mapping[str, Program]:
        """Its forward functions, as `programs.py` makes them of what the model file writes."""

    def weights(self) -> Mapping[str, Weight]:
        """Every weight by its Hugging Face name. A tied head is not listed: it is the embedding table."""


class DecoderModel(Model, Protocol):
    """A decoder-only language model. Its program `step` gives logits."""

    def forward(self, ops: Recorder) -> Node:
        """Logits [R, vocabulary] of the selected rows."""


class EncoderModel(Model, Protocol):
    """A model of whole texts, each row of which sees all of its text; `dimensions.context` counts the tokens of one.

    Its program `encode` gives hidden [T, width], and mean, first, last and, where the model has one, pooler [S, width];
    and what its head gives, where it has one (`encoder_heads.py`).
    """

    def hidden(self, ops: Recorder) -> Node:
        """A row for each token: [T, width]."""

    @property
    def width(self) -> int:
        """Columns of a row."""

    @property
    def types(self) -> int:
        """Token types are below it; 0 where there are none."""
