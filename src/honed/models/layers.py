"""Pieces that are the same in most model files: projections by name, who a decoder sees, the gated MLP, the head.

The rest of attention is not here: it is what the families differ in. What a decoder is made of is in `decoder.py`.
"""

from __future__ import annotations

from honed.models.base import DecoderSizes
from honed.models.config import DecoderConfig
from honed.ops.record import Node, Recorder
from honed.ops.values import AttentionSpec, Weight

EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"
"""Where it is not the embedding."""


def project(ops: Recorder, x: Node, name: str, *, inputs: int, outputs: int, bias: bool = False) -> Node:
    """The linear layer `name`, with `name.weight` and, where it has one, `name.bias`."""
    return ops.linear(
        x,
        Weight(f"{name}.weight", (outputs, inputs)),
        Weight(f"{name}.bias", (outputs,)) if bias else None,
    )


def project_qkv(
    ops: Recorder, x: Node, name: str, config: DecoderSizes, *, bias: bool = False
) -> tuple[Node, Node, Node]:
    """Queries, keys and values of the attention `name`."""
    size = config.dimensions
    widths = {"q": size.heads * size.head_dim, "k": size.kv_heads * size.head_dim, "v": size.kv_heads * size.head_dim}
    q, k, v = (
        project(ops, x, f"{name}.{part}_proj", inputs=config.hidden, outputs=width, bias=bias)
        for part, width in widths.items()
    )
    return q, k, v


def project_out(ops: Recorder, mixed: Node, name: str, config: DecoderSizes, *, bias: bool = False) -> Node:
    """What the attention `name` gives, of the mixed values of all heads."""
    inputs = config.dimensions.heads * config.dimensions.head_dim
    return project(ops, mixed, f"{name}.o_proj", inputs=inputs, outputs=config.hidden, bias=bias)


def causal(head_dim: int, window: int | None = None) -> AttentionSpec:
    """Each row sees itself and those before it, `window` in all."""
    return AttentionSpec(head_dim, head_dim**-0.5, before=None if window is None else window - 1)


def gated_mlp(
    ops: Recorder, x: Node, prefix: str, config: DecoderConfig, *, bias: bool = False, inner: int | None = None
) -> Node:
    """down(activation(gate(x)) * up(x)) (Shazeer 2020), of `inner` features where those of the config are not meant."""
    hidden, inner = config.hidden, inner or config.intermediate
    gate = project(ops, x, f"{prefix}.gate_proj", inputs=hidden, outputs=inner, bias=bias)
    up = project(ops, x, f"{prefix}.up_proj", inputs=hidden, outputs=inner, bias=bias)
    return project(
        ops, ops.gated(gate, up, config.activation), f"{prefix}.down_proj", inputs=inner, outputs=hidden, bias=bias
    )


def embedding_table(config: DecoderConfig) -> Weight:
    return Weight(EMBEDDING, (config.dimensions.vocabulary, config.hidden))


def head(ops: Recorder, x: Node, config: DecoderConfig, *, scale: float = 1.0) -> Node:
    """Final norm and logits of the selected rows, times `scale`."""
    normed = ops.rms_norm(ops.select(x), Weight("model.norm.weight", (config.hidden,)), config.eps)
    return logits(ops, normed, config, scale=scale)


def logits(ops: Recorder, normed: Node, config: DecoderConfig, *, scale: float = 1.0) -> Node:
    """Rows times the head, which is the embedding table where it is tied.

    `scale` is applied to the rows: they are fewer values than the logits, and the same products come of it.
    """
    table = embedding_table(config)
    return ops.linear(ops.scale(normed, scale), table if config.tied else Weight(HEAD, table.shape))


def capped_head(ops: Recorder, x: Node, config: DecoderConfig, cap: float | None) -> Node:
    """`head`, each logit z then cap * tanh(z / cap); as it is with None."""
    if cap is None:
        return head(ops, x, config)
    return ops.scale(ops.activate(head(ops, x, config, scale=1 / cap), "tanh"), cap)
