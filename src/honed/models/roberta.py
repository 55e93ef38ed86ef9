"""RoBERTa (Liu et al. 2019) and XLM-RoBERTa (Conneau et al. 2020): a BERT whose positions begin behind the padding.

Its heads are others: classes are made of the first row by layers of their own, and a masked language model calls its
parts otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from honed.models.base import Config
from honed.models.bert import BLOCK, Bert
from honed.models.config import MAX_VOCABULARY, Fields
from honed.models.encoder_config import read_encoder
from honed.models.encoder_heads import Head, activated, decoder, decoder_bias, decoder_matrix, outputs, read_head
from honed.models.encoder_layers import POOLER_FIELD, norm, table
from honed.models.family import NO_KV_HEADS, WHOLE_ROWS, Family
from honed.models.programs import HIDDEN
from honed.ops.record import Node, Recorder
from honed.records import dataclass

PADDING = 1
"""Its id where a config does not say."""
DECODER = "lm_head.decoder"
HEADS = {"classes": "classifier.out_proj", "tags": "classifier", "spans": "qa_outputs", "vocabulary": "lm_head.dense"}


@dataclass(frozen=True)
class Roberta(Bert):
    @classmethod
    def from_config(cls, values: Config, source: Path | str) -> Roberta:
        """As of `Bert`. The first token of a text has position pad_token_id + 1: that of padding stands before."""
        fields = Fields(values, source)
        padding = fields.integer("pad_token_id", 0, MAX_VOCABULARY, default=PADDING)
        config = read_encoder(fields, first_position=padding + 1)
        head = read_head(fields, config.dimensions.vocabulary)
        return cls(config, fields.boolean(POOLER_FIELD, default=False), head)

    def asked(self, head: Head, ops: Recorder, given: Mapping[str, Node]) -> Mapping[str, Node]:
        """What the head makes of the rows of tokens, whether there is a pooler or not. The activation before a
        vocabulary is GELU whatever that of the layers."""
        width, rows = self.width, given[HIDDEN]
        if head.kind == "vocabulary":
            x = activated(ops, ops.select(rows), "lm_head.dense", "gelu", width)
            x = norm(ops, x, "lm_head.layer_norm", self.config)
            matrix = decoder_matrix(head, table(self.config), DECODER)
            return {head.result: decoder(ops, x, matrix, decoder_bias(head, "lm_head.bias", DECODER))}
        if head.kind == "classes":
            rows = activated(ops, given["first"], "classifier.dense", "tanh", width)
        return {head.result: outputs(ops, rows, HEADS[head.kind], head, width)}


FAMILY = Family(
    model_type="roberta",
    class_name="RobertaModel",
    read=Roberta.from_config,
    base="roberta.",
    covers="RoBERTa, all-distilroberta",
    samples=(
        {**NO_KV_HEADS, "type_vocab_size": 1, "pad_token_id": 1},
        {**NO_KV_HEADS, "type_vocab_size": 1, "pad_token_id": 4},
    ),
    layer_prefix=BLOCK.layers,
    sizes=WHOLE_ROWS,
    heads=HEADS,
    decoder=DECODER,
)
XLM_FAMILY = Family(
    model_type="xlm-roberta",
    class_name="XLMRobertaModel",
    read=Roberta.from_config,
    base="roberta.",
    covers="XLM-RoBERTa, multilingual E5, BGE-M3",
    samples=({**NO_KV_HEADS, "type_vocab_size": 1, "pad_token_id": 1},),
    layer_prefix=BLOCK.layers,
    sizes=WHOLE_ROWS,
    heads=HEADS,
    decoder=DECODER,
)
