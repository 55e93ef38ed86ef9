"""Pieces of decoders with LayerNorms and an MLP without a gate: GPT-2 and what came of it.

Their families differ in names, in positions and in where the norms stand, which their files say. Not here: decoders
with RMS norms and gated MLPs (`config.py`, `layers.py`).
"""

from __future__ import annotations

from honed.models.activations import read_ungated
from honed.models.base import Dimensions
from honed.models.config import MAX_HEADS, MAX_LAYERS, MAX_VOCABULARY, MAX_WIDTH, Fields, read_context
from honed.models.layers import HEAD, project
from honed.ops.record import Node, Recorder
from honed.ops.values import Activation, Weight
from honed.records import dataclass

MAX_HEAD_DIM = 1024


@dataclass(frozen=True)
class NormDecoderNames:
    """What a family calls the fields of its config."""

    hidden: str = "hidden_size"
    intermediate: str = "intermediate_size"
    layers: str = "num_hidden_layers"
    heads: str = "num_attention_heads"
    kv_heads: str | None = None
    """None: every head has its own keys and values."""
    positions: str = "max_position_embeddings"
    activation: str = "hidden_act"
    eps: str | None = "layer_norm_eps"
    """None: 1e-5, whatever the config."""


@dataclass(frozen=True)
class NormDecoderConfig:
    """Sizes, epsilon of the norms, activation of the MLP, and whether the head is tied."""

    dimensions: Dimensions
    hidden: int
    intermediate: int
    eps: float
    activation: Activation
    tied: bool


def read_norm_decoder(
    fields: Fields,
    names: NormDecoderNames,
    *,
    activation: str,
    tied: bool,
    kv_heads: int | None = None,
    intermediate: int | None = None,
) -> NormDecoderConfig:
    """The shared fields, checked against each other.

    `activation`, `tied` and `kv_heads` are what a config without those fields means; `intermediate` is how many times
    the width a missing inner width is, None where there must be one. Errors: FormatError, UnsupportedError.
    """
    hidden = fields.integer(names.hidden, 1, MAX_WIDTH)
    heads = fields.integer(names.heads, 1, MAX_HEADS)
    if hidden % heads or hidden // heads > MAX_HEAD_DIM:
        raise fields.wrong(
            names.hidden, f"must be a multiple of {names.heads} {heads}, and at most {MAX_HEAD_DIM} times it"
        )
    groups = heads
    if names.kv_heads is not None:
        groups = fields.integer(names.kv_heads, 1, MAX_HEADS, default=kv_heads)
        if heads % groups:
            raise fields.wrong(names.kv_heads, f"must divide {names.heads} {heads}")
    return NormDecoderConfig(
        dimensions=Dimensions(
            vocabulary=fields.integer("vocab_size", 1, MAX_VOCABULARY),
            context=read_context(fields, names.positions),
            layers=fields.integer(names.layers, 1, MAX_LAYERS),
            heads=heads,
            kv_heads=groups,
            head_dim=hidden // heads,
        ),
        hidden=hidden,
        intermediate=fields.integer(
            names.intermediate, 1, MAX_WIDTH, default=None if intermediate is None else intermediate * hidden
        ),
        eps=1e-5 if names.eps is None else fields.number(names.eps, 0.0, 1.0, default=1e-5),
        activation=read_ungated(fields, names.activation, activation),
        tied=fields.boolean("tie_word_embeddings", default=tied),
    )


def norm(ops: Recorder, x: Node, name: str, width: int, eps: float) -> Node:
    """LayerNorm with `name.weight` and `name.bias`."""
    return ops.layer_norm(x, Weight(f"{name}.weight", (width,)), Weight(f"{name}.bias", (width,)), eps)


def mlp(ops: Recorder, x: Node, inner: str, outer: str, config: NormDecoderConfig, *, bias: bool = True) -> Node:
    """outer(activation(inner(x)))."""
    wide = project(ops, x, inner, inputs=config.hidden, outputs=config.intermediate, bias=bias)
    wide = ops.activate(wide, config.activation)
    return project(ops, wide, outer, inputs=config.intermediate, outputs=config.hidden, bias=bias)


def logits(ops: Recorder, normed: Node, table: Weight, *, tied: bool) -> Node:
    """Selected rows times the table where the head is tied to it, else times a head of its own."""
    return ops.linear(normed, table if tied else Weight(HEAD, table.shape))
