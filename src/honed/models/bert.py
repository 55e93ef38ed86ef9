"""BERT (Devlin et al. 2019), and what is built like it: MiniLM, and the BERT half of most embedding models.

Learned positions and token types, attention in both directions, LayerNorm behind the sums, GELU without a gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from honed.models.base import Config, Dimensions
from honed.models.config import Fields
from honed.models.encoder_config import EncoderConfig, read_encoder
from honed.models.encoder_layers import POOLER_FIELD, BlockNames, block, embed, pooler
from honed.models.family import NO_KV_HEADS, WHOLE_ROWS, Family
from honed.models.programs import encode
from honed.models.recorded import list_weights
from honed.ops.record import Node, Program, Recorder
from honed.ops.values import Weight
from honed.records import dataclass

BLOCK = BlockNames(
    layers="encoder.layer.",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    mixed="attention.output.dense",
    attention_norm="attention.output.LayerNorm",
    inner="intermediate.dense",
    outer="output.dense",
    output_norm="output.LayerNorm",
)


@dataclass(frozen=True)
class Bert:
    config: EncoderConfig
    has_pooler: bool

    @classmethod
    def from_config(cls, values: Config, source: Path | str) -> Bert:
        """Reads a config.json; `source` is named in errors (FormatError, UnsupportedError)."""
        fields = Fields(values, source)
        return cls(read_encoder(fields), fields.boolean(POOLER_FIELD, default=False))

    def hidden(self, ops: Recorder) -> Node:
        """A row for each token: [T, hidden]."""
        x = embed(ops, self.config)
        for layer in range(self.config.dimensions.layers):
            x = block(ops, x, BLOCK, self.config, layer)
        return x

    def pooler(self, ops: Recorder, x: Node) -> Node:
        return pooler(ops, x, self.config)

    def programs(self) -> Mapping[str, Program]:
        return encode(self.hidden, self.pooler if self.has_pooler else None)

    @property
    def dimensions(self) -> Dimensions:
        return self.config.dimensions

    @property
    def width(self) -> int:
        return self.config.hidden

    @property
    def types(self) -> int:
        return self.config.types

    def weights(self) -> Mapping[str, Weight]:
        return list_weights(self)


FAMILY = Family(
    model_type="bert",
    class_name="BertModel",
    read=Bert.from_config,
    covers="BERT, MiniLM, BGE, E5, GTE",
    samples=({**NO_KV_HEADS, "type_vocab_size": 2}, {**NO_KV_HEADS, "type_vocab_size": 1, "hidden_act": "relu"}),
    layer_prefix=BLOCK.layers,
    sizes=WHOLE_ROWS,
)
