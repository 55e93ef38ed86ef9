"""Pieces that encoders in the manner of BERT share: the sum of embeddings, a block with its norms behind, the pooler.

Their families differ in names and in which of these they have, which their files say. Not here: pooling the rows of a
text into one, which any encoder can be asked for (`base.py`).
"""

from __future__ import annotations

from honed.models.encoder_config import EncoderConfig
from honed.models.layers import project
from honed.ops.record import Node, Recorder
from honed.ops.values import POSITIONS, TOKEN_TYPES, AttentionSpec, Weight
from honed.records import dataclass

TABLE = "embeddings.word_embeddings.weight"
"""Of the tokens, in every family here."""
POOLER = "pooler.dense"
POOLER_FIELD = "add_pooling_layer"
"""Whether the weights have a pooler. An argument in transformers, and no field of a config.json: checkpoints see which
weights there are, and put it there."""


@dataclass(frozen=True)
class BlockNames:
    """What a family calls the parts of a block: `layers` and its number come first."""

    layers: str
    query: str
    key: str
    value: str
    mixed: str
    attention_norm: str
    inner: str
    outer: str
    output_norm: str


def table(config: EncoderConfig) -> Weight:
    """Of the tokens."""
    return Weight(TABLE, (config.dimensions.vocabulary, config.hidden))


def embed(ops: Recorder, config: EncoderConfig) -> Node:
    """The sum of what stands for token, type and position, normalized."""
    x = ops.embedding(table(config))
    if config.types:
        types = Weight("embeddings.token_type_embeddings.weight", (config.types, config.hidden))
        x = ops.add(x, ops.embedding(types, TOKEN_TYPES))
    positions = Weight("embeddings.position_embeddings.weight", (config.positions, config.hidden))
    x = ops.add(x, ops.embedding(positions, POSITIONS, first_row=config.first_position))
    return norm(ops, x, "embeddings.LayerNorm", config)


def block(ops: Recorder, x: Node, names: BlockNames, config: EncoderConfig, layer: int) -> Node:
    """norm(x + attention(x)), then norm(x + mlp(x)) (Vaswani et al. 2017): the norms stand behind the sums."""
    name = f"{names.layers}{layer}"
    hidden, head_dim = config.hidden, config.dimensions.head_dim

    def own(part: str, x: Node, inputs: int = hidden, outputs: int = hidden) -> Node:
        return project(ops, x, f"{name}.{part}", inputs=inputs, outputs=outputs, bias=True)

    q, k, v = (own(part, x) for part in (names.query, names.key, names.value))
    mixed = ops.attention(q, k, v, AttentionSpec(head_dim, head_dim**-0.5, after=None))
    x = norm(ops, ops.add(own(names.mixed, mixed), x), f"{name}.{names.attention_norm}", config)
    inner = ops.activate(own(names.inner, x, hidden, config.intermediate), config.activation)
    return norm(
        ops, ops.add(own(names.outer, inner, config.intermediate, hidden), x), f"{name}.{names.output_norm}", config
    )


def norm(ops: Recorder, x: Node, name: str, config: EncoderConfig) -> Node:
    shape = (config.hidden,)
    return ops.layer_norm(x, Weight(f"{name}.weight", shape), Weight(f"{name}.bias", shape), config.eps)


def pooler(ops: Recorder, x: Node, config: EncoderConfig) -> Node:
    """tanh of a linear layer of the first row of each text (Devlin et al. 2019)."""
    first = ops.pool(x, "first")
    hidden = config.hidden
    return ops.activate(project(ops, first, POOLER, inputs=hidden, outputs=hidden, bias=True), "tanh")
