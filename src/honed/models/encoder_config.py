"""Reading the config of an encoder: sizes, activation, and what none of the families here does.

A family that calls its fields otherwise says so with `EncoderNames`. Not here: what the fields mean, which the model
files say, and how rows are pooled into one of a text, which is the checkpoint's business.
"""

from __future__ import annotations

from honed.errors import UnsupportedError, quoted
from honed.models.activations import read_ungated
from honed.models.base import Dimensions
from honed.models.config import MAX_CONTEXT, MAX_HEADS, MAX_LAYERS, MAX_VOCABULARY, MAX_WIDTH, Fields
from honed.ops.values import Activation, GatedActivation
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


@dataclass(frozen=True)
class Sizes:
    """Of any encoder."""

    vocabulary: int
    layers: int
    heads: int
    head_dim: int
    hidden: int
    intermediate: int


def read_sizes(fields: Fields, names: EncoderNames = BERT_NAMES) -> Sizes:
    """Checked against each other. Errors: FormatError, and UnsupportedError for what makes another model of it:
    positions that are not absolute, heads that were pruned or are not as wide as the rows say, a decoder."""
    _refuse_others(fields)
    hidden = fields.integer(names.hidden, 1, MAX_WIDTH)
    heads = fields.integer(names.heads, 1, MAX_HEADS)
    if hidden % heads or not 1 <= hidden // heads <= MAX_HEAD_DIM:
        raise fields.wrong(
            names.hidden, f"must be a multiple of {names.heads} {heads}, and at most {MAX_HEAD_DIM} times it"
        )
    head_dim = hidden // heads
    if fields.integer("head_dim", 1, MAX_HEAD_DIM, default=head_dim) != head_dim:
        raise UnsupportedError(
            f"{fields.source}: head_dim {fields.values['head_dim']} is not supported; supported is {names.hidden} over "
            f"{names.heads}, {head_dim}"
        )
    return Sizes(
        vocabulary=fields.integer("vocab_size", 1, MAX_VOCABULARY),
        layers=fields.integer(names.layers, 1, MAX_LAYERS),
        heads=heads,
        head_dim=head_dim,
        hidden=hidden,
        intermediate=fields.integer(names.intermediate, 1, MAX_WIDTH),
    )


def read_encoder(fields: Fields, names: EncoderNames = BERT_NAMES, *, first_position: int = 0) -> EncoderConfig:
    """The shared fields, checked against each other. Errors: as of `read_sizes`."""
    sizes = read_sizes(fields, names)
    positions = fields.integer("max_position_embeddings", 1, MAX_CONTEXT)
    if positions <= first_position:
        raise fields.wrong(
            "max_position_embeddings", f"must be over {first_position}, the position of the first token here"
        )
    return EncoderConfig(
        dimensions=Dimensions(
            vocabulary=sizes.vocabulary,
            context=positions - first_position,
            layers=sizes.layers,
            heads=sizes.heads,
            kv_heads=sizes.heads,
            head_dim=sizes.head_dim,
        ),
        hidden=sizes.hidden,
        intermediate=sizes.intermediate,
        eps=1e-12 if names.eps is None else fields.number(names.eps, 0.0, 1.0, default=1e-12),
        activation=read_ungated(fields, names.activation, "gelu"),
        types=0 if names.types is None else fields.integer(names.types, 0, MAX_TYPES, default=2),
        positions=positions,
        first_position=first_position,
    )


def read_gate(fields: Fields, field: str, default: str) -> GatedActivation:
    """The activation of a gated MLP that a field names. Errors: UnsupportedError naming those that are known."""
    activation = read_ungated(fields, field, default)
    if activation not in ("gelu", "gelu_tanh", "silu"):
        raise UnsupportedError(
            f"{fields.source}: {field} {quoted(fields.text(field, default=default))} gates no MLP here; supported are "
            "gelu, gelu_pytorch_tanh and silu"
        )
    return activation


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
