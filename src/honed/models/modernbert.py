"""ModernBERT (Warner et al. 2024): an encoder with rotation in place of positions, and windows in most of its layers.

Norms before each half of a block but the first, whose input the norm of the embedding has normalized; an MLP gated by
GELU. Every third layer sees the whole text and the others half a window on each side, each kind with a rotation of its
own. Every head stands on a dense layer with a norm.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from honed.errors import UnsupportedError, quoted
from honed.models.activations import read_ungated
from honed.models.base import Config, Dimensions
from honed.models.config import MAX_CONTEXT, MAX_LAYERS, Fields, read_context, read_layer_types
from honed.models.encoder_config import read_gate, read_sizes
from honed.models.encoder_heads import Head, activated, decoder, decoder_matrix, outputs, read_head
from honed.models.family import NO_KV_HEADS, WHOLE_ROWS, Family
from honed.models.layers import project
from honed.models.programs import HIDDEN, encode
from honed.models.recorded import list_weights
from honed.models.rope_scaling import read_rotary
from honed.models.stored import Forms, Stored, stacked
from honed.ops.record import Node, Program, Recorder
from honed.ops.values import Activation, AttentionSpec, GatedActivation, Pooling, Rotary, Weight
from honed.records import dataclass

TABLE = "model.embeddings.tok_embeddings.weight"
LAYERS = "model.layers."
DECODER = "decoder"
HEADS = {"classes": "classifier", "tags": "classifier", "spans": "classifier", "vocabulary": "head.dense"}
_POOLINGS: Mapping[str, Pooling] = {"cls": "first", "mean": "mean"}
_THETAS = {"full_attention": ("global_rope_theta", 160000.0), "sliding_attention": ("local_rope_theta", 10000.0)}
"""For each kind of layer what older configs call the base of its rotation, and what it is where no config says it."""


@dataclass(frozen=True)
class HeadShape:
    """What the configs of this family say of a head. pooling: of the rows that classes are made of."""

    head: Head
    pooling: Pooling
    activation: Activation
    bias: bool
    decoder_bias: bool


@dataclass(frozen=True)
class ModernBert:
    """sides: of each layer how many tokens it sees on each side, None for all; rotaries: how it turns."""

    dimensions: Dimensions
    hidden_size: int
    intermediate: int
    eps: float
    gate: GatedActivation
    sides: tuple[int | None, ...]
    rotaries: tuple[Rotary, ...]
    attention_bias: bool
    mlp_bias: bool
    norm_bias: bool
    head: HeadShape | None = None

    @classmethod
    def from_config(cls, values: Config, source: Path | str) -> ModernBert:
        """Reads a config.json; `source` is named in errors (FormatError, UnsupportedError)."""
        fields = Fields(values, source)
        sizes = read_sizes(fields)
        kinds = _kinds(fields, sizes.layers)
        turning = {kind: _rotating(fields, kind) for kind in sorted(set(kinds))}
        rotaries = {kind: read_rotary(own, sizes.head_dim) for kind, own in turning.items()}
        side = fields.integer("local_attention", 0, MAX_CONTEXT, default=128) // 2
        return cls(
            dimensions=Dimensions(
                vocabulary=sizes.vocabulary,
                context=min(read_context(own) for own in turning.values()),
                layers=sizes.layers,
                heads=sizes.heads,
                kv_heads=sizes.heads,
                head_dim=sizes.head_dim,
            ),
            hidden_size=sizes.hidden,
            intermediate=sizes.intermediate,
            eps=fields.number("norm_eps", 0.0, 1.0, default=1e-5),
            gate=read_gate(fields, "hidden_activation", "gelu"),
            sides=tuple(None if kind == "full_attention" else side for kind in kinds),
            rotaries=tuple(rotaries[kind] for kind in kinds),
            attention_bias=fields.boolean("attention_bias", default=False),
            mlp_bias=fields.boolean("mlp_bias", default=False),
            norm_bias=fields.boolean("norm_bias", default=False),
            head=_read_head(fields, sizes.vocabulary),
        )

    def attention(self, ops: Recorder, x: Node, layer: int) -> Node:
        """What attention of a layer makes of its input, which is normalized."""
        width, head_dim, bias = self.hidden_size, self.dimensions.head_dim, self.attention_bias
        name = f"{LAYERS}{layer}.attn"
        q, k, v = (project(ops, x, f"{name}.{part}", inputs=width, outputs=width, bias=bias) for part in "qkv")
        q, k = (ops.rope(y, self.rotaries[layer], head_dim) for y in (q, k))
        side = self.sides[layer]
        mixed = ops.attention(q, k, v, AttentionSpec(head_dim, head_dim**-0.5, before=side, after=side))
        return project(ops, mixed, f"{name}.Wo", inputs=width, outputs=width, bias=bias)

    def mlp(self, ops: Recorder, x: Node, layer: int) -> Node:
        """outer(activation(gate(x)) * up(x)) (Shazeer 2020)."""
        width, inner, bias = self.hidden_size, self.intermediate, self.mlp_bias
        name = f"{LAYERS}{layer}.mlp"
        gate, up = (
            project(ops, x, f"{name}.{part}", inputs=width, outputs=inner, bias=bias) for part in ("gate", "up")
        )
        return project(ops, ops.gated(gate, up, self.gate), f"{name}.Wo", inputs=inner, outputs=width, bias=bias)

    def norm(self, ops: Recorder, x: Node, name: str) -> Node:
        shape = (self.hidden_size,)
        bias = Weight(f"{name}.bias", shape) if self.norm_bias else None
        return ops.layer_norm(x, Weight(f"{name}.weight", shape), bias, self.eps)

    def block(self, ops: Recorder, x: Node, layer: int) -> Node:
        """Attention, then the MLP, each behind a norm and added to its input."""
        normed = self.norm(ops, x, f"{LAYERS}{layer}.attn_norm") if layer else x
        x = ops.add(x, self.attention(ops, normed, layer))
        return ops.add(x, self.mlp(ops, self.norm(ops, x, f"{LAYERS}{layer}.mlp_norm"), layer))

    def hidden(self, ops: Recorder) -> Node:
        """A row for each token: [T, hidden]."""
        x = ops.embedding(self.table)
        x = self.norm(ops, x, "model.embeddings.norm")
        for layer in range(self.dimensions.layers):
            x = self.block(ops, x, layer)
        return self.norm(ops, x, "model.final_norm")

    def programs(self) -> Mapping[str, Program]:
        return encode(self.hidden, head=None if self.head is None else partial(self.asked, self.head))

    def asked(self, shape: HeadShape, ops: Recorder, given: Mapping[str, Node]) -> Mapping[str, Node]:
        """What the head makes of the rows of tokens, or of one of a text."""
        head, x = shape.head, given[HIDDEN]
        if head.kind == "classes":
            x = given[shape.pooling]
        elif head.kind == "vocabulary":
            x = ops.select(x)
        x = activated(ops, x, "head.dense", shape.activation, self.width, bias=shape.bias)
        x = self.norm(ops, x, "head.norm")
        if head.kind != "vocabulary":
            return {head.result: outputs(ops, x, HEADS[head.kind], head, self.width)}
        bias = f"{DECODER}.bias" if shape.decoder_bias else None
        return {head.result: decoder(ops, x, decoder_matrix(head, self.table, DECODER), bias)}

    @property
    def table(self) -> Weight:
        """Of the tokens."""
        return Weight(TABLE, (self.dimensions.vocabulary, self.hidden_size))

    @property
    def width(self) -> int:
        return self.hidden_size

    @property
    def types(self) -> int:
        return 0

    def weights(self) -> Mapping[str, Weight]:
        return list_weights(self)


def _read_head(fields: Fields, vocabulary: int) -> HeadShape | None:
    head = read_head(fields, vocabulary)
    if head is None:
        return None
    pooling = fields.text("classifier_pooling", default="cls")
    if pooling not in _POOLINGS:
        raise UnsupportedError(
            f"{fields.source}: classifier_pooling {quoted(pooling)} is not supported; supported are cls and mean"
        )
    return HeadShape(
        head,
        _POOLINGS[pooling],
        read_ungated(fields, "classifier_activation", "gelu"),
        bias=fields.boolean("classifier_bias", default=False),
        decoder_bias=fields.boolean("decoder_bias", default=True),
    )


def _kinds(fields: Fields, layers: int) -> tuple[str, ...]:
    """full_attention or sliding_attention for each layer: newer configs name them, older ones say how often one sees
    everything, beginning with the first."""
    named = read_layer_types(fields, layers)
    if named is not None:
        return named
    every = fields.integer("global_attn_every_n_layers", 1, MAX_LAYERS, default=3)
    return tuple("sliding_attention" if layer % every else "full_attention" for layer in range(layers))


def _rotating(fields: Fields, kind: str) -> Fields:
    """The config of a model whose layers are all of a kind. The newer form has an object for each of them; rope_scaling
    of the older one is that of both."""
    newer, scaling = fields.nested("rope_parameters"), fields.nested("rope_scaling")
    own: Config = {}
    if newer is not None and newer.values:
        if not _THETAS.keys() & newer.values.keys():
            raise UnsupportedError(
                f"{fields.source}: rope_parameters: has no full_attention or sliding_attention, and the rotation "
                "differs between the two"
            )
        named = newer.nested(kind)
        own = {} if named is None else named.values
    merged = {**own, **({} if scaling is None else scaling.values)}
    theta = _theta(fields, kind)
    parameters = {"rope_theta": theta, "rope_parameters": {kind: merged} if merged else None, "rope_scaling": None}
    return Fields({**fields.values, **parameters}, fields.source)


def _theta(fields: Fields, kind: str) -> float:
    """The base of the older form. null in place of that of the windows says that they turn as the other layers do."""
    name, default = _THETAS[kind]
    if kind == "sliding_attention" and name in fields.values and fields.values[name] is None:
        return _theta(fields, "full_attention")
    return fields.number(name, 1e-3, 1e12, default=default)


def _stored(model: ModernBert) -> Forms:
    """q, k and v lie in one tensor, and so do gate and up."""
    forms: dict[str, Stored] = {}
    weights = model.weights()
    for layer in range(model.dimensions.layers):
        for tensor, parts in (("attn.Wqkv", ("attn.q", "attn.k", "attn.v")), ("mlp.Wi", ("mlp.gate", "mlp.up"))):
            for end in ("weight", "bias"):
                names = [f"{LAYERS}{layer}.{part}.{end}" for part in parts]
                if names[0] in weights:
                    forms.update(stacked(f"{LAYERS}{layer}.{tensor}.{end}", [weights[name] for name in names]))
    return forms


FAMILY = Family(
    model_type="modernbert",
    class_name="ModernBertModel",
    read=ModernBert.from_config,
    covers="ModernBERT, GTE ModernBERT, nomic ModernBERT",
    samples=(
        {**NO_KV_HEADS, "num_hidden_layers": 5, "local_attention": 8},
        {
            **NO_KV_HEADS,
            "num_hidden_layers": 4,
            "global_attn_every_n_layers": 2,
            "local_attention": 6,
            "norm_bias": True,
        },
    ),
    layer_prefix=LAYERS,
    sizes=WHOLE_ROWS,
    table=TABLE,
    heads=HEADS,
    decoder=DECODER,
    stored=_stored,
)
