"""What all Gemmas have in common: their blocks, and what their configs and files say in one way.

Not here: attention, which differs, and each family's own file.
"""

from __future__ import annotations

from honed.errors import UnsupportedError
from honed.models.base import Model
from honed.models.config import MAX_CONTEXT, MAX_LAYERS, Fields, read_layer_types
from honed.models.decoder import BlockDecoder
from honed.models.layers import capped_head, embedding_table
from honed.models.stored import Forms, plus_one
from honed.ops.record import Node, Recorder
from honed.ops.values import GatedActivation

GATE: GatedActivation = "gelu_tanh"
"""Of the MLP, where a config does not say it."""
GGUF_NORMS = {
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_NORM = "norm.weight"


class GemmaBlocks(BlockDecoder):
    """Norms before and after each half of a block, behind an embedding scaled by the root of its width."""

    logit_cap: float | None

    def block(self, ops: Recorder, x: Node, layer: int) -> Node:
        mixed = self.attention(ops, self.norm(ops, x, layer, "input_layernorm"), layer)
        x = ops.add(x, self.norm(ops, mixed, layer, "post_attention_layernorm"))
        inner = self.mlp(ops, self.norm(ops, x, layer, "pre_feedforward_layernorm"), layer)
        return ops.add(x, self.norm(ops, inner, layer, "post_feedforward_layernorm"))

    def forward(self, ops: Recorder) -> Node:
        x = ops.scale(ops.embedding(embedding_table(self.config)), self.config.hidden**0.5)
        return capped_head(ops, self.blocks(ops, x), self.config, self.logit_cap)


def read_windows(fields: Fields, layers: int, *, full_every: int) -> tuple[int | None, ...]:
    """Sliding window of each layer, None for full attention: as `layer_types` says, or every `full_every`-th full."""
    window = fields.integer("sliding_window", 1, MAX_CONTEXT, default=4096)
    types = read_layer_types(fields, layers)
    if types is None:
        every = fields.integer("sliding_window_pattern", 1, MAX_LAYERS, default=full_every)
        return tuple(window if (layer + 1) % every else None for layer in range(layers))
    return tuple(window if kind == "sliding_attention" else None for kind in types)


def read_score_scale(fields: Fields) -> float:
    """What q @ k is multiplied by: `query_pre_attn_scalar` is the width of the heads that it is scaled as if of."""
    scale: float = fields.number("query_pre_attn_scalar", 0.0, 1e9, default=256.0) ** -0.5
    return scale


def read_cap(fields: Fields, name: str, default: float | None) -> float | None:
    """A soft cap; null is none, and what a config without the field means is for the family to say."""
    if name in fields.values and fields.values[name] is None:
        return None
    return default if name not in fields.values else fields.number(name, 0.0, 1e9)


def refuse_both_directions(fields: Fields) -> None:
    """Gemmas that see what comes after a token, too, give vectors of texts and no next token."""
    if fields.boolean("use_bidirectional_attention", default=False):
        raise UnsupportedError(
            f"{fields.source}: use_bidirectional_attention is true, and supported is attention to what stands before"
        )


def norms_without_one(model: Model) -> Forms:
    """Files in Hugging Face form hold w of every norm, which multiplies by 1 + w."""
    return dict(plus_one(weight) for name, weight in model.weights().items() if name.endswith(_NORM))
