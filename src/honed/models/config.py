"""Reading a config: every field typed, bounded and named in the error. What a field means is said by the model files.

Here: the fields that all decoders share, and how far a context goes. Not here: rotary embeddings (`rope_scaling.py`)
and anything that only one family has.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from honed.errors import FormatError, UnsupportedError, quoted
from honed.models.base import Config, Dimensions
from honed.ops.values import GatedActivation
from honed.records import dataclass

# Far over every published model, and low enough that no product of them overflows or takes memory by itself.
MAX_LAYERS = 1024
MAX_HEADS = 1024
MAX_WIDTH = 1 << 17
MAX_VOCABULARY = 1 << 22
MAX_CONTEXT = 1 << 27

ACTIVATION_NAMES: dict[str, GatedActivation] = {
    "silu": "silu",
    "swish": "silu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
}


@dataclass(frozen=True)
class Fields:
    """Typed access to a config. `source` is the file named in errors; `prefix` the path of a nested object."""

    values: Config
    source: Path | str
    prefix: str = ""

    def wrong(self, name: str, expected: str) -> FormatError:
        """The error for a field whose value is not what it must be."""
        found = f"is {_shown(self.values[name])}, but" if name in self.values else "is missing;"
        return FormatError(self.source, self.prefix + name, f"{found} {expected}")

    def integer(self, name: str, low: int, high: int, *, default: int | None = None) -> int:
        """An integer from `low` to `high`; missing or null gives the default, or the error if there is none."""
        value = self.values.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.wrong(name, f"must be an integer from {low} to {high}")
        return value

    def number(self, name: str, low: float, high: float, *, default: float | None = None) -> float:
        """A finite number over `low` and at most `high`."""
        value = self.values.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, int | float) or isinstance(value, bool) or not low < value <= high:
            raise self.wrong(name, f"must be a number over {low:g} and at most {high:g}")
        return float(value)

    def boolean(self, name: str, *, default: bool) -> bool:
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.wrong(name, "must be true or false")
        return value

    def text(self, name: str, *, default: str | None = None) -> str:
        value = self.values.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise self.wrong(name, "must be a string")
        return value

    def nested(self, name: str) -> Fields | None:
        """The object under `name`, or None if it is missing or null."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.wrong(name, "must be an object")
        return Fields(value, self.source, f"{self.prefix}{name}.")


def with_defaults(fields: Fields, defaults: Config) -> Fields:
    """The same config, with what a family means by fields that are missing or null."""
    own = {name: value for name, value in defaults.items() if fields.values.get(name) is None}
    return Fields({**fields.values, **own}, fields.source, fields.prefix) if own else fields


def _shown(value: Any) -> str:
    return "NaN" if isinstance(value, float) and math.isnan(value) else quoted(value)


@dataclass(frozen=True)
class DecoderConfig:
    """What every decoder here has: sizes, norm epsilon, activation of the MLP, and whether the head is tied."""

    dimensions: Dimensions
    hidden: int
    intermediate: int
    eps: float
    activation: GatedActivation
    tied: bool


def read_decoder(
    fields: Fields,
    *,
    head_dim: int | None = None,
    kv_heads_default: bool = False,
    tied: bool = False,
    activation_field: str = "hidden_act",
    activation: GatedActivation = "silu",
    eps_field: str = "rms_norm_eps",
    eps: float = 1e-6,
) -> DecoderConfig:
    """The shared fields, checked against each other.

    `head_dim` is what a config without that field means in this family (None: hidden_size over heads);
    `kv_heads_default` says that a config may leave out num_key_value_heads, which is then the number of heads. `tied`
    is what no tie_word_embeddings means, `activation` what no `activation_field` does, and `eps` what no `eps_field`.
    """
    hidden = fields.integer("hidden_size", 1, MAX_WIDTH)
    heads = fields.integer("num_attention_heads", 1, MAX_HEADS)
    kv_heads = fields.integer("num_key_value_heads", 1, MAX_HEADS, default=heads if kv_heads_default else None)
    if heads % kv_heads:
        raise fields.wrong("num_key_value_heads", f"must divide num_attention_heads {heads}")
    if fields.values.get("head_dim") is None and head_dim is None:
        if hidden % heads:
            raise fields.wrong("hidden_size", f"must be a multiple of num_attention_heads {heads} without a head_dim")
        head_dim = hidden // heads
    head_dim = fields.integer("head_dim", 2, 1024, default=head_dim)
    if head_dim % 2:
        raise fields.wrong("head_dim", f"must be even, and {head_dim} is not")
    return DecoderConfig(
        dimensions=Dimensions(
            vocabulary=fields.integer("vocab_size", 1, MAX_VOCABULARY),
            context=read_context(fields),
            layers=fields.integer("num_hidden_layers", 1, MAX_LAYERS),
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
        ),
        hidden=hidden,
        intermediate=fields.integer("intermediate_size", 1, MAX_WIDTH),
        eps=fields.number(eps_field, 0.0, 1.0, default=eps),
        activation=read_activation(fields, activation_field, activation),
        tied=fields.boolean("tie_word_embeddings", default=tied),
    )


def rope_fields(fields: Fields) -> Fields:
    """The object that describes the rotation: `rope_scaling` where there is one, else `rope_parameters`, as
    transformers takes them; without either an empty one.

    One for each type of layer is read where they are the same. Errors: UnsupportedError where they differ.
    """
    older, newer = fields.nested("rope_scaling"), fields.nested("rope_parameters")
    found = older if older is not None and older.values else newer
    if found is None:
        return Fields({}, fields.source)
    by_layer = {name: value for name, value in found.values.items() if isinstance(value, dict)}
    if not by_layer:
        return found
    first = next(iter(by_layer))
    if any(value != by_layer[first] for value in by_layer.values()):
        raise UnsupportedError(
            f"{fields.source}: {found.prefix}{quoted(first)}: a rotation that differs from layer to layer "
            "is not supported"
        )
    return Fields(by_layer[first], fields.source, f"{found.prefix}{first}.")


def rope_kind(scaling: Fields) -> str:
    """Its name in transformers; su is what longrope was called first."""
    kind = scaling.text("rope_type", default=scaling.text("type", default="default"))
    return "longrope" if kind == "su" else kind


def original_context(fields: Fields, scaling: Fields) -> int:
    """Positions that the model was trained with before its rotation was stretched."""
    trained = fields.integer("max_position_embeddings", 1, MAX_CONTEXT, default=2048)
    inner = scaling.integer("original_max_position_embeddings", 1, MAX_CONTEXT, default=trained)
    return fields.integer("original_max_position_embeddings", 1, MAX_CONTEXT, default=inner)


def read_context(fields: Fields, name: str = "max_position_embeddings") -> int:
    """Positions of a sequence: max_position_embeddings, or as that field is called, but for two kinds of scaling.

    With yarn factor times the original context where that is more: configs are given yarn by hand, and keep the number
    that they had. With longrope the original context, which the divisors of longer ones would change (`rope_scaling`),
    unless both lists are the same.
    """
    stated = fields.integer(name, 1, MAX_CONTEXT)
    scaling = rope_fields(fields)
    kind = rope_kind(scaling)
    if kind == "longrope":
        same = scaling.values.get("short_factor") == scaling.values.get("long_factor")
        return stated if same else min(stated, original_context(fields, scaling))
    if kind == "yarn":
        original = original_context(fields, scaling)
        factor = scaling.number("factor", 1e-3, 1e6, default=stated / original)
        return min(max(stated, int(original * factor)), MAX_CONTEXT)
    return stated


def read_activation(fields: Fields, field: str = "hidden_act", default: GatedActivation = "silu") -> GatedActivation:
    if fields.values.get(field) is None:
        return default
    name = fields.text(field)
    if name not in ACTIVATION_NAMES:
        supported = ", ".join(sorted(ACTIVATION_NAMES))
        raise UnsupportedError(f"{fields.source}: {field} {quoted(name)} is not supported; supported are {supported}")
    return ACTIVATION_NAMES[name]


def read_layer_windows(fields: Fields, layers: int) -> tuple[int | None, ...]:
    """Sliding window of each layer of the Qwen families, None for full attention.

    Newer configs name each layer in layer_types; older ones slide from layer max_window_layers upwards.
    """
    types = fields.values.get("layer_types")
    if not fields.boolean("use_sliding_window", default=False) or fields.values.get("sliding_window") is None:
        uniform = isinstance(types, list | tuple) and all(name == "full_attention" for name in types)
        if types is not None and not uniform:
            raise fields.wrong(
                "layer_types", "only full_attention can be without use_sliding_window and sliding_window"
            )
        return (None,) * layers
    window = fields.integer("sliding_window", 1, MAX_CONTEXT)
    if types is None:
        first = fields.integer("max_window_layers", 0, MAX_LAYERS, default=28)
        return tuple(window if layer >= first else None for layer in range(layers))
    named = read_layer_types(fields, layers) or ()
    return tuple(window if name == "sliding_attention" else None for name in named)


def read_layer_types(fields: Fields, layers: int) -> tuple[str, ...] | None:
    """full_attention or sliding_attention for each layer, None where the config does not say it."""
    types = fields.values.get("layer_types")
    if types is None:
        return None
    kinds = ("full_attention", "sliding_attention")
    if not isinstance(types, list | tuple) or len(types) != layers:
        raise fields.wrong("layer_types", f"must be a list of num_hidden_layers {layers} names")
    for name in types:
        if name not in kinds:
            raise UnsupportedError(
                f"{fields.source}: layer_types {quoted(name)} is not supported; supported are {', '.join(kinds)}"
            )
    return tuple(types)
