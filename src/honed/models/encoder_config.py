"""Reading the config of an encoder in the manner of BERT: sizes, activation, and what none of the families here does.

A family that calls its fields otherwise says so with `EncoderNames`. Not here: what the fields mean, which the model
files say, and how rows are pooled into one of a text, which is the checkpoint's business.
"""

from __future__ import annotations

from honed.errors import UnsupportedError, quoted
from honed.models.activations import read_ungated
from honed.models.base import Dimensions
from honed.models.config import MAX_CONTEXT, MAX_HEADS, MAX_LAYERS, MAX_VOCABULARY, MAX_WIDTH, Fields
from honed.ops.values import Activation
from honed.records import dataclass

MAX_HEAD_DIM = 1024
MAX_TYPES = 1 << 10


@dataclass(frozen=True)
class EncoderNames:
    """What a family calls the fields of its config; as BERT does, where nothing else is said."""

    hidden: str = "hidden_size"
    intermediate: str = "intermediate_size"
    layers: str = "num_hidden_layers"
    heads: str = "num_attention_heads"
    activation: str = "hidden_act"
    eps: str | None = "layer_norm_eps"
    """None: 1e-12, whatever the config."""
    types: str | None = "type_vocab_size"
    """None: its tokens have no types."""


BERT_NAMES = EncoderNames()


@dataclass(frozen=True)
class EncoderConfig:
    """`dimensions.context` counts the tokens of a text, and `positions` the rows of the table of positions: the first
    token of a text has row `first_position`."""

    dimensions: Dimensions
    hidden: int
    intermediate: int
    eps: float
    activation: Activation
    types: int
    positions: int
    first_position: int


def read_encoder(fields: Fields, names: EncoderNames = BERT_NAMES, *, first_position: int = 0) -> EncoderConfig:
    """The shared fields, checked against each other.

    Errors: FormatError, and UnsupportedError for what makes another model of it: positions that are not absolute,
    heads that were pruned, a decoder.
    """
    _refuse_others(fields)
    hidden = fields.integer(names.hidden, 1, MAX_WIDTH)
    heads = fields.integer(names.heads, 1, MAX_HEADS)
    if hidden % heads or not 1 <= hidden // heads <= MAX_HEAD_DIM:
        raise fields.wrong(
            names.hidden, f"must be a multiple of {names.heads} {heads}, and at most {MAX_HEAD_DIM} times it"
        )
    positions = fields.integer("max_position_embeddings", 1, MAX_CONTEXT)
    if positions <= first_position:
        raise fields.wrong(
            "max_position_embeddings", f"must be over {first_position}, the position of the first token here"
        )
    return EncoderConfig(
        dimensions=Dimensions(
            vocabulary=fields.integer("vocab_size", 1, MAX_VOCABULARY),
            context=positions - first_position,
            layers=fields.integer(names.layers, 1, MAX_LAYERS),
            heads=heads,
            kv_heads=heads,
            head_dim=hidden // heads,
        ),
        hidden=hidden,
        intermediate=fields.integer(names.intermediate, 1, MAX_WIDTH),
        eps=1e-12 if names.eps is None else fields.number(names.eps, 0.0, 1.0, default=1e-12),
        activation=read_ungated(fields, names.activation, "gelu"),
        types=0 if names.types is None else fields.integer(names.types, 0, MAX_TYPES, default=2),
        positions=positions,
        first_position=first_position,
    )


def _refuse_others(fields: Fields) -> None:
    for name in ("is_decoder", "add_cross_attention"):
        if fields.boolean(name, default=False):
            raise UnsupportedError(
                f"{fields.source}: {name} is true: a decoder made of an encoder's layers is not supported; "
                "supported is the encoder"
            )
    kind = fields.text("position_embedding_type", default="absolute")
    if kind != "absolute":
        raise UnsupportedError(
            f"{fields.source}: position_embedding_type {quoted(kind)} is not supported; supported is absolute"
        )
    pruned = fields.nested("pruned_heads")
    if pruned is not None and any(pruned.values.values()):
        raise UnsupportedError(
            f"{fields.source}: pruned_heads {quoted(dict(pruned.values))}: layers with fewer heads than "
            "others are not supported"
        )
