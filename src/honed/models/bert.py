"""BERT (Devlin et al. 2019), and what is built like it: MiniLM, and the BERT half of most embedding models.

Learned positions and token types, attention in both directions, LayerNorm behind the sums, GELU without a gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from honed.models.base import Config, Dimensions
from honed.models.config import Fields
from honed.models.encoder_config import EncoderConfig, read_encoder
from honed.models.encoder_heads import Head, activated, decoder, decoder_bias, decoder_matrix, outputs, read_head
from honed.models.encoder_layers import POOLER_FIELD, BlockNames, block, embed, norm, pooler, table
from honed.models.family import NO_KV_HEADS, WHOLE_ROWS, Family
from honed.models.programs import HIDDEN, POOLER, encode
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


TRANSFORM = "cls.predictions.transform"
DECODER = "cls.predictions.decoder"
HEADS = {"classes": "classifier", "tags": "classifier", "spans": "qa_outputs", "vocabulary": f"{TRANSFORM}.dense"}


@dataclass(frozen=True)
class Bert:
    config: EncoderConfig
    has_pooler: bool
    head: Head | None = None

    @classmethod
    def from_config(cls, values: Config, source: Path | str) -> Bert:
        """Reads a config.json; `source` is named in errors (FormatError, UnsupportedError)."""
        fields = Fields(values, source)
        config = read_encoder(fields)
        head = read_head(fields, config.dimensions.vocabulary)
        # Its classes are made of what the pooler gives, so such weights have one.
        has_pooler = fields.boolean(POOLER_FIELD, default=False) or (head is not None and head.kind == "classes")
        return cls(config, has_pooler, head)

    def hidden(self, ops: Recorder) -> Node:
        """A row for each token: [T, hidden]."""
        x = embed(ops, self.config)
        for layer in range(self.config.dimensions.layers):
            x = block(ops, x, BLOCK, self.config, layer)
        return x

    def pooler(self, ops: Recorder, x: Node) -> Node:
        return pooler(ops, x, self.config)

    def asked(self, head: Head, ops: Recorder, given: Mapping[str, Node]) -> Mapping[str, Node]:
        """What the head makes of the rows of tokens, or of the pooler's."""
        if head.kind != "vocabulary":
            x = given[POOLER] if head.kind == "classes" else given[HIDDEN]
            return {head.result: outputs(ops, x, HEADS[head.kind], head, self.width)}
        x = activated(ops, ops.select(given[HIDDEN]), f"{TRANSFORM}.dense", self.config.activation, self.width)
        x = norm(ops, x, f"{TRANSFORM}.LayerNorm", self.config)
        matrix = decoder_matrix(head, table(self.config), DECODER)
        return {head.result: decoder(ops, x, matrix, decoder_bias(head, "cls.predictions.bias", DECODER))}

    def programs(self) -> Mapping[str, Program]:
        pooled = self.pooler if self.has_pooler else None
        return encode(self.hidden, pooled, None if self.head is None else partial(self.asked, self.head))

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
    base="bert.",
    covers="BERT, MiniLM, BGE, E5, GTE",
    samples=({**NO_KV_HEADS, "type_vocab_size": 2}, {**NO_KV_HEADS, "type_vocab_size": 1, "hidden_act": "relu"}),
    layer_prefix=BLOCK.layers,
    sizes=WHOLE_ROWS,
    heads=HEADS,
    decoder=DECODER,
)
