"""The op vocabulary: names, operands, attributes and shapes.

A model file calls these ops and nothing else. `ops/reference.py` gives each its meaning in torch, `plan/record.py`
writes down the calls, and `plan/fuse.py` and `plan/lower.py` turn them into what the native executor runs.

Shapes: T is the number of token rows of the batch (several sequences back to back), R the number of rows whose
logits are asked for. All values are float32; how a weight is stored is the business of `encodings/`.
"""

from __future__ import annotations

from typing import Generic, Literal, Protocol, TypeVar

from honed.records import dataclass

Value = TypeVar("Value")
Activation = Literal["silu", "gelu_tanh"]
ACTIVATIONS: tuple[Activation, ...] = ("silu", "gelu_tanh")


@dataclass(frozen=True)
class Weight:
    """A named weight of a model: `shape` is (out features, in features) for a matrix, (n,) for a vector."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Rotary:
    """Rotary position embedding (Su et al. 2021), rotate-half form.

    `inverse_frequencies` has half of the rotated width of a head; the angle of pair i at position p is the float32
    product p * inverse_frequencies[i]. cos and sin are multiplied by `attention_factor` (YaRN and LongRoPE).
    """

    inverse_frequencies: tuple[float, ...]
    attention_factor: float = 1.0


class Ops(Protocol, Generic[Value]):
    """What a model may call. `Value` is a torch tensor in the reference and a graph value in the recorder."""

    def embedding(self, table: Weight) -> Value:
        """Rows of `table` for the tokens of the batch: [T, width]."""

    def linear(self, x: Value, weight: Weight, bias: Weight | None = None) -> Value:
        """x @ weight.T + bias: [T, in] to [T, out]."""

    def rms_norm(self, x: Value, weight: Weight, eps: float) -> Value:
        """RMSNorm (Zhang and Sennrich 2019) of each consecutive run of len(weight) features; same shape.

        A weight as long as a row normalizes the row; one as long as a head normalizes each head.
        """

    def rope(self, x: Value, rotary: Rotary, head_dim: int) -> Value:
        """Rotates every head of x, [T, heads * head_dim], by the position of its token; same shape."""

    def attention(
        self,
        q: Value,
        k: Value,
        v: Value,
        *,
        layer: int,
        head_dim: int,
        scale: float,
        window: int | None = None,
    ) -> Value:
        """Causal attention with grouped query heads over the KV cache of `layer`, which k and v are appended to.

        q is [T, heads * head_dim], k and v [T, kv_heads * head_dim]; the result has the shape of q. With a window
        of w the token at position p sees keys p - w + 1 to p.
        """

    def gated(self, gate: Value, up: Value, activation: Activation) -> Value:
        """activation(gate) * up, elementwise."""

    def add(self, a: Value, b: Value) -> Value:
        """a + b, elementwise."""

    def select(self, x: Value) -> Value:
        """The rows whose logits are asked for: [T, width] to [R, width]."""


OP_NAMES = ("embedding", "linear", "rms_norm", "rope", "attention", "gated", "add", "select")
