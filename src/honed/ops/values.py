"""What ops are about: named weights, the rows that a value holds, and the settings that ops share.

Not here: the ops (`table.py`), and how a weight is stored, which is the business of `encodings/`.
"""

from __future__ import annotations

from typing import Literal

from honed.records import dataclass

RowSpace = Literal["tokens", "selected", "sequences"]
"""A row for each of the T tokens of the batch (several sequences back to back), for the R that are asked for, or for
each sequence."""

Activation = Literal["silu", "gelu_tanh", "gelu", "tanh", "relu"]
"""gelu is that of the error function (Hendrycks and Gimpel 2016), gelu_tanh its approximation by a tanh."""
GatedActivation = Literal["silu", "gelu_tanh", "gelu", "clamped_silu"]
"""activation(gate) * up; clamped_silu (gpt-oss, OpenAI 2025) is g * sigmoid(1.702 g) * (u + 1), with g the gate up to 7
and u the up within [-7, 7]."""
ACTIVATIONS: tuple[GatedActivation, ...] = ("silu", "gelu_tanh", "gelu", "clamped_silu")
GATE_SLOPE = 1.702
GATE_LIMIT = 7.0

Scoring = Literal["softmax", "softmax_of_chosen", "sigmoid"]
"""What a chosen expert counts: its part of the softmax over all experts, or over those that are chosen; or the sigmoid
of its own score."""

Pooling = Literal["mean", "first", "last"]
"""Which of the rows of a sequence stand for it."""

TOKENS = "tokens"
"""The input of token ids."""
TOKEN_TYPES = "token_types"
"""The input of what else there is to say of a token, such as which text of two it is of."""
POSITIONS = "positions"
"""The input that every batch has: the position of each token in its sequence."""


@dataclass(frozen=True)
class Value:
    """`width` columns for each row of a row space: float32 as recorded.

    In a plan a row may be quantized to int8: with one scale for each `group` columns, or one for the row. `copies` rows
    stand for each one of the row space: one for each expert that it goes to, in ascending order of their numbers. Where
    `experts` is not 0, the value is a routing: for each row `width` of so many experts, and what each counts.
    """

    rows: RowSpace
    width: int
    quantized: bool = False
    group: int | None = None
    copies: int = 1
    experts: int = 0


@dataclass(frozen=True)
class Weight:
    """A named weight of a model: `shape` is (out features, in features) for a matrix, (n,) for a vector."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Rotary:
    """Rotary position embedding (Su et al. 2021).

    `inverse_frequencies` has half of the rotated width of a head, whose first features are rotated; the angle of pair i
    at position p is the float32 product p * inverse_frequencies[i]. Pair i is features i and i + half of that width, or
    2 i and 2 i + 1 where they are `interleaved`. cos and sin are multiplied by `attention_factor` (YaRN and LongRoPE).
    """

    inverse_frequencies: tuple[float, ...]
    attention_factor: float = 1.0
    interleaved: bool = False


@dataclass(frozen=True)
class DistanceBias:
    """What is added to a score by how far a key is from the query: `weight` is [heads * (2 reach + 1)], its entry
    `reach + distance` of a head that for key - query = distance, which is clamped to [-reach, reach]."""

    weight: Weight
    reach: int


@dataclass(frozen=True)
class AttentionSpec:
    """Who sees whom, and what is done to a score q @ k * scale on the way.

    A row sees itself, `before` keys behind it and `after` ahead of it in its sequence; None: all that there are. So
    after 0 is causal, and a sliding window of w has before w - 1. soft_cap c makes a score c * tanh(score / c), then
    `bias` is added. `sinks`, a value a head, join the sum of the softmax as one more key with no value (Xiao et al.
    2024). Rotation is an op of its own, which there may be none of.
    """

    head_dim: int
    scale: float
    before: int | None = None
    after: int | None = 0
    soft_cap: float | None = None
    sinks: Weight | None = None
    bias: DistanceBias | None = None

    @property
    def weights(self) -> tuple[Weight, ...]:
        bias = None if self.bias is None else self.bias.weight
        return tuple(weight for weight in (self.sinks, bias) if weight is not None)
