"""DistilBERT (Sanh et al. 2019): a BERT without token types and without a pooler, under names of its own.

Positions that are sines and cosines are stored in the file like learned ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from honed.models.base import Config, Dimensions
from honed.models.config import Fields
from honed.models.encoder_config import EncoderConfig, EncoderNames, read_encoder
from honed.models.encoder_heads import Head, activated, decoder, decoder_matrix, outputs, read_head
from honed.models.encoder_layers import BlockNames, block, embed, norm, table
from honed.models.family import Family, SizeFields
from honed.models.programs import HIDDEN, encode
from honed.models.recorded import list_weights
from honed.ops.record import Node, Program, Recorder
from honed.ops.values import Weight
from honed.records import dataclass

NAMES = EncoderNames(
    hidden="dim",
    intermediate="hidden_dim",
    layers="n_layers",
    heads="n_heads",
    activation="activation",
    eps=None,
    types=None,
)
BLOCK = BlockNames(
    layers="transformer.layer.",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    mixed="attention.out_lin",
    attention_norm="sa_layer_norm",
    inner="ffn.lin1",
    outer="ffn.lin2",
    output_norm="output_layer_norm",
)


DECODER = "vocab_projector"
HEADS = {"classes": "classifier", "tags": "classifier", "spans": "qa_outputs", "vocabulary": "vocab_transform"}


@dataclass(frozen=True)
class DistilBert:
    config: EncoderConfig
    head: Head | None = None

    @classmethod
    def from_config(cls, values: Config, source: Path | str) -> DistilBert:
        """Reads a config.json; `source` is named in errors (FormatError, UnsupportedError)."""
        fields = Fields(values, source)
        config = read_encoder(fields, NAMES)
        return cls(config, read_head(fields, config.dimensions.vocabulary))

    def hidden(self, ops: Recorder) -> Node:
        """A row for each token: [T, hidden]."""
        x = embed(ops, self.config)
        for layer in range(self.config.dimensions.layers):
            x = block(ops, x, BLOCK, self.config, layer)
        return x

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

    def programs(self) -> Mapping[str, Program]:
        return encode(self.hidden, head=None if self.head is None else partial(self.asked, self.head))

    def asked(self, head: Head, ops: Recorder, given: Mapping[str, Node]) -> Mapping[str, Node]:
        """What the head makes of the rows of tokens. Classes are made of the first one, without a pooler."""
        width, rows = self.width, given[HIDDEN]
        if head.kind == "vocabulary":
            x = activated(ops, ops.select(rows), "vocab_transform", self.config.activation, width)
            x = norm(ops, x, "vocab_layer_norm", self.config)
            return {head.result: decoder(ops, x, decoder_matrix(head, table(self.config), DECODER), f"{DECODER}.bias")}
        if head.kind == "classes":
            rows = activated(ops, given["first"], "pre_classifier", "relu", width)
        return {head.result: outputs(ops, rows, HEADS[head.kind], head, width)}


FAMILY = Family(
    model_type="distilbert",
    class_name="DistilBertModel",
    read=DistilBert.from_config,
    base="distilbert.",
    covers="DistilBERT, its sentence encoders",
    samples=(
        {
            "vocab_size": 97,
            "dim": 64,
            "hidden_dim": 96,
            "n_layers": 2,
            "n_heads": 4,
            "max_position_embeddings": 96,
        },
    ),
    layer_prefix=BLOCK.layers,
    layers_field=NAMES.layers,
    sizes=SizeFields(NAMES.intermediate, NAMES.heads, kv_heads=None, head_dim=None),
    heads=HEADS,
    decoder=DECODER,
)
