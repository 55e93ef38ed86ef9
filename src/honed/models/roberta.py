"""RoBERTa (Liu et al. 2019) and XLM-RoBERTa (Conneau et al. 2020): a BERT whose positions begin behind the padding."""

from __future__ import annotations

from pathlib import Path

from honed.models.base import Config
from honed.models.bert import BLOCK, Bert
from honed.models.config import MAX_VOCABULARY, Fields
from honed.models.encoder_config import read_encoder
from honed.models.encoder_layers import POOLER_FIELD
from honed.models.family import NO_KV_HEADS, WHOLE_ROWS, Family

PADDING = 1
"""Its id where a config does not say."""


def read_roberta(values: Config, source: Path | str) -> Bert:
    """As `Bert.from_config`. The first token of a text has position pad_token_id + 1: that of padding stands before."""
    fields = Fields(values, source)
    padding = fields.integer("pad_token_id", 0, MAX_VOCABULARY, default=PADDING)
    return Bert(read_encoder(fields, first_position=padding + 1), fields.boolean(POOLER_FIELD, default=False))


FAMILY = Family(
    model_type="roberta",
    class_name="RobertaModel",
    read=read_roberta,
    covers="RoBERTa, all-distilroberta",
    samples=(
        {**NO_KV_HEADS, "type_vocab_size": 1, "pad_token_id": 1},
        {**NO_KV_HEADS, "type_vocab_size": 1, "pad_token_id": 4},
    ),
    layer_prefix=BLOCK.layers,
    sizes=WHOLE_ROWS,
)
XLM_FAMILY = Family(
    model_type="xlm-roberta",
    class_name="XLMRobertaModel",
    read=read_roberta,
    covers="XLM-RoBERTa, multilingual E5, BGE-M3",
    samples=({**NO_KV_HEADS, "type_vocab_size": 1, "pad_token_id": 1},),
    layer_prefix=BLOCK.layers,
    sizes=WHOLE_ROWS,
)
