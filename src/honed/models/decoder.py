"""What decoders are unless their files say otherwise: what each offers, and the block that most of them are made of.

A model is the frozen dataclass of its file, which derives from one of these. Not here: attention, which is what the
families differ in, and the pieces that it is made of (`layers.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from honed.models.base import DecoderSizes, Dimensions
from honed.models.config import DecoderConfig
from honed.models.layers import embedding_table, gated_mlp, head
from honed.models.programs import step
from honed.models.recorded import list_weights
from honed.ops.record import Node, Program, Recorder
from honed.ops.values import Weight


class Decoder(ABC):
    """Offers a step, whose logits `forward` gives."""

    config: DecoderSizes

    @abstractmethod
    def forward(self, ops: Recorder) -> Node:
        """Logits [R, vocabulary] of the selected rows."""

    def programs(self) -> Mapping[str, Program]:
        return step(self.forward)

    @property
    def dimensions(self) -> Dimensions:
        return self.config.dimensions

    def weights(self) -> Mapping[str, Weight]:
        return list_weights(self)


class BlockDecoder(Decoder):
    """Blocks between the embedding of the tokens and the head."""

    config: DecoderConfig

    @abstractmethod
    def attention(self, ops: Recorder, x: Node, layer: int) -> Node:
        """What attention of a layer makes of its input, which is normalized already where norms stand before."""

    def mlp(self, ops: Recorder, x: Node, layer: int) -> Node:
        """The gated MLP of a layer."""
        return gated_mlp(ops, x, f"model.layers.{layer}.mlp", self.config)

    def norm(self, ops: Recorder, x: Node, layer: int, name: str) -> Node:
        """The RMS norm of that name in a layer."""
        weight = Weight(f"model.layers.{layer}.{name}.weight", (self.config.hidden,))
        return ops.rms_norm(x, weight, self.config.eps)

    def block(self, ops: Recorder, x: Node, layer: int) -> Node:
        """Attention, then the MLP, each behind a norm and added to its input."""
        x = ops.add(x, self.attention(ops, self.norm(ops, x, layer, "input_layernorm"), layer))
        return ops.add(x, self.mlp(ops, self.norm(ops, x, layer, "post_attention_layernorm"), layer))

    def forward(self, ops: Recorder) -> Node:
        return head(ops, self.blocks(ops, ops.embedding(embedding_table(self.config))), self.config)

    def blocks(self, ops: Recorder, x: Node) -> Node:
        """All of them, one after the other."""
        for layer in range(self.config.dimensions.layers):
            x = self.block(ops, x, layer)
        return x
