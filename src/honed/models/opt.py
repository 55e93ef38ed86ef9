"""OPT (Zhang et al. 2022): learned positions, biases everywhere, a ReLU; of 350m the norms stand behind the sums, and
its embedding is narrower than the model."""

from __future__ import annotations

from pathlib import Path

from honed.errors import UnsupportedError
from honed.models.base import Config
from honed.models.config import MAX_WIDTH, Fields
from honed.models.decoder import Decoder
from honed.models.family import NO_KV_HEADS, Family, SizeFields
from honed.models.layers import causal, project
from honed.models.norm_decoder import NormDecoderConfig, NormDecoderNames, logits, mlp, norm, read_norm_decoder
from honed.ops.record import Node, Recorder
from honed.ops.values import POSITIONS, Weight
from honed.records import dataclass

NAMES = NormDecoderNames(intermediate="ffn_dim", activation="activation_function", eps=None)
DECODER = "model.decoder"
FIRST_POSITION = 2
"""Row of the table of positions that position 0 has."""


@dataclass(frozen=True)
class Opt(Decoder):
    """`embedded`: width of the embedding. final_norm: whether one stands behind the last layer."""

    config: NormDecoderConfig
    embedded: int
    bias: bool
    norm_before: bool
    final_norm: bool

    @classmethod
    def from_config(cls, values: Config, source: Path | str) -> Opt:
        """Reads a config.json; `source` is named in errors (FormatError, UnsupportedError)."""
        fields = Fields(values, source)
        if not fields.boolean("layer_norm_elementwise_affine", default=True):
            raise UnsupportedError(
                f"{source}: layer_norm_elementwise_affine is false: norms without weights are not supported; "
                "supported is true"
            )
        config = read_norm_decoder(fields, NAMES, activation="relu", tied=True)
        before = fields.boolean("do_layer_norm_before", default=True)
        return cls(
            config=config,
            embedded=fields.integer("word_embed_proj_dim", 1, MAX_WIDTH, default=config.hidden),
            bias=fields.boolean("enable_bias", default=True),
            norm_before=before,
            final_norm=before and not fields.boolean("_remove_final_layer_norm", default=False),
        )

    def attention(self, ops: Recorder, x: Node, layer: int) -> Node:
        hidden, head_dim = self.config.hidden, self.dimensions.head_dim
        name = f"{DECODER}.layers.{layer}.self_attn"
        q, k, v = (
            project(ops, x, f"{name}.{part}_proj", inputs=hidden, outputs=hidden, bias=self.bias)
            for part in ("q", "k", "v")
        )
        mixed = ops.attention(q, k, v, causal(head_dim), cache=layer)
        return project(ops, mixed, f"{name}.out_proj", inputs=hidden, outputs=hidden, bias=self.bias)

    def block(self, ops: Recorder, x: Node, layer: int) -> Node:
        name = f"{DECODER}.layers.{layer}"

        def normed(x: Node, part: str) -> Node:
            return norm(ops, x, f"{name}.{part}", self.config.hidden, self.config.eps)

        def inner(x: Node) -> Node:
            return mlp(ops, x, f"{name}.fc1", f"{name}.fc2", self.config, bias=self.bias)

        if self.norm_before:
            x = ops.add(x, self.attention(ops, normed(x, "self_attn_layer_norm"), layer))
            return ops.add(x, inner(normed(x, "final_layer_norm")))
        x = normed(ops.add(x, self.attention(ops, x, layer)), "self_attn_layer_norm")
        return normed(ops.add(x, inner(x)), "final_layer_norm")

    def forward(self, ops: Recorder) -> Node:
        config, size = self.config, self.dimensions
        table = Weight(f"{DECODER}.embed_tokens.weight", (size.vocabulary, self.embedded))
        positions = Weight(f"{DECODER}.embed_positions.weight", (size.context + FIRST_POSITION, config.hidden))
        x = ops.embedding(table)
        if self.embedded != config.hidden:
            x = project(ops, x, f"{DECODER}.project_in", inputs=self.embedded, outputs=config.hidden)
        x = ops.add(x, ops.embedding(positions, POSITIONS, first_row=FIRST_POSITION))
        for layer in range(size.layers):
            x = self.block(ops, x, layer)
        if self.final_norm:
            x = norm(ops, x, f"{DECODER}.final_layer_norm", config.hidden, config.eps)
        if self.embedded != config.hidden:
            x = project(ops, x, f"{DECODER}.project_out", inputs=config.hidden, outputs=self.embedded)
        return logits(ops, ops.select(x), table, tied=config.tied)


FAMILY = Family(
    model_type="opt",
    class_name="OPTForCausalLM",
    read=Opt.from_config,
    covers="OPT 125M to 66B",
    samples=(
        {**NO_KV_HEADS, "ffn_dim": 96},
        {**NO_KV_HEADS, "ffn_dim": 88, "do_layer_norm_before": False, "word_embed_proj_dim": 32},
    ),
    layer_prefix=f"{DECODER}.layers.",
    sizes=SizeFields(NAMES.intermediate, kv_heads=None, head_dim=None),
    table=f"{DECODER}.embed_tokens.weight",
    ties=True,
)
