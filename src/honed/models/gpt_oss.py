"""gpt-oss (OpenAI 2025): a mixture of experts whose attention has sinks, and slides in every other layer.

Queries, keys, values, the router and all experts have biases; what gates an expert is bounded. Files in Hugging Face
form hold the gate and the up of an expert in turns, and the experts of a layer in one tensor, of MXFP4 or of floats.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.encodings.rearranged import RowRuns
from honed.errors import UnsupportedError, quoted
from honed.models.base import Config
from honed.models.config import MAX_CONTEXT, DecoderConfig, Fields, read_decoder, read_layer_types
from honed.models.decoder import BlockDecoder
from honed.models.experts import PARTS, Experts, read_experts
from honed.models.family import GGUF_LAYER_TENSORS, GGUF_TENSORS, Family, GgufNames
from honed.models.layers import project, project_out, project_qkv
from honed.models.rope_scaling import read_rotary
from honed.models.stored import Forms, Stored
from honed.ops.record import Node, Recorder
from honed.ops.values import GATE_LIMIT, GATE_SLOPE, AttentionSpec, Rotary, Weight
from honed.records import dataclass

_YARN: Config = {
    "rope_type": "yarn",
    "factor": 32.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "truncate": False,
    "original_max_position_embeddings": 4096,
}
"""The rotation of a config that says nothing of it."""


@dataclass(frozen=True)
class GptOss(BlockDecoder):
    """windows: the sliding window of each layer. packed: whether its files hold the experts in MXFP4, as (out, in)."""

    config: DecoderConfig
    rotary: Rotary
    windows: tuple[int | None, ...]
    experts: Experts
    attention_bias: bool
    packed: bool

    @classmethod
    def from_config(cls, values: Config, source: Path | str) -> GptOss:
        """Reads a config.json; `source` is named in errors (FormatError, UnsupportedError)."""
        fields = _turning(Fields(values, source))
        _refuse_other_gates(fields)
        config = read_decoder(fields, head_dim=64, eps=1e-5)
        quantization = values.get("quantization_config")
        return cls(
            config=config,
            rotary=read_rotary(fields, config.dimensions.head_dim),
            windows=_windows(fields, config.dimensions.layers),
            experts=read_experts(
                fields, count="num_local_experts", inner="intermediate_size", scoring="softmax_of_chosen"
            ),
            attention_bias=fields.boolean("attention_bias", default=True),
            packed=isinstance(quantization, dict) and quantization.get("quant_method") == "mxfp4",
        )

    def attention(self, ops: Recorder, x: Node, layer: int) -> Node:
        head_dim, bias, window = self.config.dimensions.head_dim, self.attention_bias, self.windows[layer]
        name = f"model.layers.{layer}.self_attn"
        q, k, v = project_qkv(ops, x, name, self.config, bias=bias)
        q, k = (ops.rope(y, self.rotary, head_dim) for y in (q, k))
        before = None if window is None else window - 1
        sinks = Weight(f"{name}.sinks", (self.config.dimensions.heads,))
        mixed = ops.attention(q, k, v, AttentionSpec(head_dim, head_dim**-0.5, before, sinks=sinks), cache=layer)
        return project_out(ops, mixed, name, self.config, bias=bias)

    def mlp(self, ops: Recorder, x: Node, layer: int) -> Node:
        """The experts that each row goes to, summed by the softmax of their scores."""
        count, name = self.experts.count, f"{_block(layer)}.router"
        scores = project(ops, x, name, inputs=self.config.hidden, outputs=count, bias=True)
        routing = ops.route(scores, self.experts.chosen, self.experts.scoring)
        copies = ops.dispatch(x, routing)
        gate, up = (ops.expert_linear(copies, routing, *self._linears(layer, part)) for part in ("gate", "up"))
        inner = ops.gated(gate, up, "clamped_silu")
        return ops.combine(ops.expert_linear(inner, routing, *self._linears(layer, "down")), routing)

    def _linears(self, layer: int, part: str) -> tuple[tuple[Weight, ...], tuple[Weight, ...]]:
        """Matrices and biases of a part of each expert."""
        hidden, inner = self.config.hidden, self.experts.inner
        shape = (hidden, inner) if part == "down" else (inner, hidden)
        names = [_name(layer, expert, part) for expert in range(self.experts.count)]
        matrices = tuple(Weight(f"{name}.weight", shape) for name in names)
        return matrices, tuple(Weight(f"{name}.bias", shape[:1]) for name in names)


def _block(layer: int) -> str:
    return f"model.layers.{layer}.mlp"


def _name(layer: int, expert: int, part: str) -> str:
    """Of this model alone: files hold no expert by itself."""
    return f"{_block(layer)}.experts.{expert}.{part}_proj"


def _turning(fields: Fields) -> Fields:
    """The config with the rotation that it means: of a base that is not that of other families, and stretched where it
    says nothing of that."""
    theta = fields.number("rope_theta", 1e-3, 1e12, default=150000.0)
    silent = fields.nested("rope_scaling") is None and fields.nested("rope_parameters") is None
    own = {"rope_theta": theta, **({"rope_parameters": dict(_YARN)} if silent else {})}
    return Fields({**fields.values, **own}, fields.source)


def _refuse_other_gates(fields: Fields) -> None:
    """What gates an expert is written into the kernels, and no config is known that says otherwise."""
    for name, value in (("swiglu_alpha", GATE_SLOPE), ("swiglu_limit", GATE_LIMIT)):
        if fields.number(name, 0.0, 1e9, default=value) != value:
            raise UnsupportedError(
                f"{fields.source}: {name} {quoted(fields.values[name])} is not supported; supported is {value:g}"
            )
    if fields.text("hidden_act", default="silu") not in ("silu", "swish"):
        raise UnsupportedError(
            f"{fields.source}: hidden_act {quoted(fields.values['hidden_act'])} is not supported; supported is silu"
        )


def _windows(fields: Fields, layers: int) -> tuple[int | None, ...]:
    """Of the layers that slide: those that layer_types names, or every other one, beginning with the first."""
    named = read_layer_types(fields, layers)
    slides = [layer % 2 == 0 if named is None else named[layer] == "sliding_attention" for layer in range(layers)]
    if any(slides) and "sliding_window" in fields.values and fields.values["sliding_window"] is None:
        raise fields.wrong("sliding_window", "there are layers of sliding_attention, which need one")
    window = fields.integer("sliding_window", 1, MAX_CONTEXT, default=128)
    return tuple(window if slide else None for slide in slides)


def _stored(model: GptOss) -> Forms:
    """The experts of a layer in one tensor, each row of a gate before that of its up. Floats lie as (in, out)."""
    forms: dict[str, Stored] = {}
    count, inner, hidden, across = model.experts.count, model.experts.inner, model.config.hidden, not model.packed

    def whole(name: str, outputs: int, inputs: int) -> Weight:
        return Weight(name, (count, inputs, outputs) if across else (count, outputs, inputs))

    for layer in range(model.config.dimensions.layers):
        name = f"{_block(layer)}.experts"
        given, taken = whole(f"{name}.gate_up_proj", 2 * inner, hidden), whole(f"{name}.down_proj", hidden, inner)
        given_bias = Weight(f"{given.name}_bias", (count, 2 * inner))
        taken_bias = Weight(f"{taken.name}_bias", (count, hidden))
        for expert in range(count):
            for first, part in enumerate(("gate", "up")):
                own, rows = _name(layer, expert, part), RowRuns(first, 1, inner, 2)
                forms[f"{own}.weight"] = Stored(given, matrix=expert, transposed=across, rows=rows)
                forms[f"{own}.bias"] = Stored(given_bias, matrix=expert, rows=rows)
            own = _name(layer, expert, "down")
            forms[f"{own}.weight"] = Stored(taken, matrix=expert, transposed=across)
            forms[f"{own}.bias"] = Stored(taken_bias, matrix=expert)
    return forms


_PATTERN = "attention.sliding_window_pattern"
_SOFTMAX_OF_CHOSEN = (0, 3)
"""llama.cpp's numbers of what an expert counts: 0 is not said."""
_GGUF_EXPERTS = {f"ffn_{part}_exps": f"mlp.experts.{part}_proj" for part in PARTS}
_GGUF_KEYS = ("expert_count", "expert_used_count", "expert_feed_forward_length", "expert_gating_func", _PATTERN)


def _in_gguf(model: GptOss) -> Forms:
    """The experts of a layer in one tensor for each of gate, up and down, and sinks that are called a weight."""
    forms: dict[str, Stored] = {}
    weights, count = model.weights(), model.experts.count
    for layer in range(model.config.dimensions.layers):
        sinks = weights[f"model.layers.{layer}.self_attn.sinks"]
        forms[sinks.name] = Stored(Weight(f"{sinks.name}.weight", sinks.shape))
        for part in PARTS:
            for end in ("weight", "bias"):
                for expert in range(count):
                    own = weights[f"{_name(layer, expert, part)}.{end}"]
                    whole = Weight(f"{_block(layer)}.experts.{part}_proj.{end}", (count, *own.shape))
                    forms[own.name] = Stored(whole, matrix=expert)
    return forms


def _gguf_config(config: Mapping[str, Any], keys: Mapping[str, Any]) -> Mapping[str, Any]:
    """Every other layer slides, beginning with the first; llama.cpp knows that by itself, as it knows the gate."""
    if keys.get(_PATTERN, 2) != 2:
        raise UnsupportedError(f"gpt-oss.{_PATTERN}: is {quoted(keys[_PATTERN])}, and supported is 2")
    if keys.get("expert_gating_func", 0) not in _SOFTMAX_OF_CHOSEN:
        found = quoted(keys["expert_gating_func"])
        raise UnsupportedError(f"gpt-oss.expert_gating_func: is {found}, and supported is 3, a softmax of the chosen")
    own = {"num_local_experts": keys.get("expert_count"), "num_experts_per_tok": keys.get("expert_used_count")}
    scaling = config.get("rope_scaling")
    rotation: Config = {"rope_parameters": {"rope_type": "default"}} if scaling is None else {}
    if scaling is not None and scaling.get("rope_type") == "yarn":
        rotation = {"rope_scaling": {**scaling, "truncate": False}}
    inner = keys.get("expert_feed_forward_length") or config["intermediate_size"]
    window = config.get("sliding_window")
    return {**own, **rotation, "intermediate_size": inner, "sliding_window": window}


FAMILY = Family(
    model_type="gpt_oss",
    class_name="GptOssForCausalLM",
    read=GptOss.from_config,
    covers="gpt-oss 20B, 120B",
    samples=(
        {
            "head_dim": 16,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "sliding_window": 7,
            "rope_parameters": {"rope_type": "default", "rope_theta": 150000.0},
        },
        {
            "head_dim": 24,
            "num_local_experts": 3,
            "num_experts_per_tok": 1,
            "layer_types": ["full_attention", "sliding_attention"],
            "sliding_window": 5,
            "attention_bias": False,
            "tie_word_embeddings": True,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 500.0,
                "factor": 4.0,
                "beta_fast": 4.0,
                "truncate": False,
                "original_max_position_embeddings": 32,
            },
        },
    ),
    own_fields=frozenset({"num_local_experts"}),
    stored=_stored,
    gguf=GgufNames(
        "gpt-oss",
        GGUF_TENSORS,
        {
            **{name: ours for name, ours in GGUF_LAYER_TENSORS.items() if not name.startswith("ffn_")},
            "post_attention_norm": "post_attention_layernorm",
            "attn_sinks": "self_attn.sinks",
            "ffn_gate_inp": "mlp.router",
            **_GGUF_EXPERTS,
        },
        windowed=None,
        stored=_in_gguf,
        own_config=_gguf_config,
        own_keys=frozenset(_GGUF_KEYS),
        own_values=lambda model: {"expert_feed_forward_length": model.experts.inner},
    ),
)
