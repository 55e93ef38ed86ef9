"""A tiny encoder of random weights that has every op which decoders have not."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from honed.backends.encoder import TextBatch
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.models.base import Dimensions
from honed.models.programs import encode
from honed.models.recorded import list_weights
from honed.ops.record import Node, Program, Recorder
from honed.ops.values import POSITIONS, TOKEN_TYPES, AttentionSpec, DistanceBias, Rotary, Weight
from honed.records import dataclass

HIDDEN, HEADS, HEAD_DIM, INNER = 36, 3, 12, 50
VOCABULARY, CONTEXT, TYPES, FIRST_POSITION = 30, 24, 2, 2


@dataclass(frozen=True)
class TinyEncoder:
    """In the manner of BERT, but that its second layer has rotation, a norm over whole rows of q, and all that can be
    done to scores, within a window on both sides."""

    width = HIDDEN
    types = TYPES

    @property
    def dimensions(self) -> Dimensions:
        return Dimensions(VOCABULARY, CONTEXT, 2, HEADS, HEADS, HEAD_DIM)

    def norm(self, ops: Recorder, x: Node, name: str) -> Node:
        return ops.layer_norm(x, Weight(f"{name}.weight", (HIDDEN,)), Weight(f"{name}.bias", (HIDDEN,)), 1e-6)

    def linear(self, ops: Recorder, x: Node, name: str, inputs: int = HIDDEN, outputs: int = HIDDEN) -> Node:
        return ops.linear(x, Weight(f"{name}.weight", (outputs, inputs)), Weight(f"{name}.bias", (outputs,)))

    def attention(self, ops: Recorder, x: Node, layer: int) -> Node:
        q, k, v = (self.linear(ops, x, f"{layer}.{name}") for name in "qkv")
        if layer == 0:
            return ops.attention(q, k, v, AttentionSpec(HEAD_DIM, HEAD_DIM**-0.5, after=None))
        q = ops.rms_norm(q, Weight(f"{layer}.q_norm", (HIDDEN,)), 1e-6)
        q, k = (ops.rope(y, Rotary((1.0, 0.3)), HEAD_DIM) for y in (q, k))
        bias = DistanceBias(Weight(f"{layer}.distance", (HEADS * 7,)), reach=3)
        sinks = Weight(f"{layer}.sinks", (HEADS,))
        return ops.attention(q, k, v, AttentionSpec(HEAD_DIM, 0.4, 5, 4, soft_cap=2.0, sinks=sinks, bias=bias))

    def block(self, ops: Recorder, x: Node, layer: int) -> Node:
        mixed = self.linear(ops, self.attention(ops, x, layer), f"{layer}.o")
        x = self.norm(ops, ops.add(mixed, x), f"{layer}.norm1")
        inner = ops.activate(self.linear(ops, x, f"{layer}.up", HIDDEN, INNER), "gelu" if layer else "relu")
        return self.norm(ops, ops.add(self.linear(ops, inner, f"{layer}.down", INNER, HIDDEN), x), f"{layer}.norm2")

    def hidden(self, ops: Recorder) -> Node:
        x = ops.embedding(Weight("tokens", (VOCABULARY, HIDDEN)))
        x = ops.add(x, ops.embedding(Weight("types", (TYPES, HIDDEN)), TOKEN_TYPES))
        positions = Weight("positions", (CONTEXT + FIRST_POSITION, HIDDEN))
        x = ops.add(x, ops.embedding(positions, POSITIONS, first_row=FIRST_POSITION))
        x = self.norm(ops, x, "norm")
        for layer in range(2):
            x = self.block(ops, x, layer)
        return x

    def pooler(self, ops: Recorder, x: Node) -> Node:
        return ops.activate(self.linear(ops, ops.pool(x, "first"), "pooler"), "tanh")

    def programs(self) -> Mapping[str, Program]:
        return encode(self.hidden, self.pooler)

    def weights(self) -> Mapping[str, Weight]:
        return list_weights(self)


class RandomWeights:
    """Of a model, by name."""

    def __init__(self, model: TinyEncoder) -> None:
        random = np.random.default_rng(3)
        self.weights: dict[str, Encoded] = {
            name: Dense(random.standard_normal(weight.shape).astype(np.float32) * np.float32(0.3), "float32")
            for name, weight in model.weights().items()
        }

    def weight(self, name: str) -> Encoded:
        return self.weights[name]


def texts(*lengths: int) -> TextBatch:
    """Random tokens; those of a text of n do not depend on the texts beside it."""
    made = [np.random.default_rng(length).integers(0, VOCABULARY, length) for length in lengths]
    kinds = [np.arange(length) % TYPES for length in lengths]
    tokens, types = (np.concatenate(parts).astype(np.int32) for parts in (made, kinds))
    return TextBatch(tokens, types, np.array(lengths, dtype=np.int32))
