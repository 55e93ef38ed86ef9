"""What a family of models is called elsewhere. Each says it at the end of its model file, and others ask `registry.py`.

Not here: how a config is read, which is `from_config` of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from honed.models.base import Config, DecoderModel, EncoderModel
from honed.models.stored import Forms
from honed.records import dataclass


@dataclass(frozen=True)
class SizeFields:
    """What a family calls the fields of its config that count what pruning takes away: the inner features of an MLP,
    the heads, and those of keys. kv_heads: None where every head has its own keys. head_dim: None where heads are
    always as wide as a row over their number, so that no config says of a model that it has fewer."""

    inner: str = "intermediate_size"
    heads: str = "num_attention_heads"
    kv_heads: str | None = "num_key_value_heads"
    head_dim: str | None = "head_dim"


WHOLE_ROWS = SizeFields(kv_heads=None, head_dim=None)
"""Of families whose heads share a row without a rest."""


@dataclass(frozen=True)
class GgufExperts:
    """Fields of the config of a family with experts: how many there are, the inner features of one, whether what the
    chosen ones count sums to one (None where the family has no such field), and the inner features of the MLP beside
    them (None where it has none). normed: whether it sums to one in files that do not say it, as llama.cpp has it."""

    count: str
    inner: str
    normed: bool
    normed_field: str | None = None
    shared: str | None = None


@dataclass(frozen=True)
class GgufNames:
    """How GGUF files spell the weights of a family.

    architecture: `general.architecture` of its files. tensors: name in the file to name in the model, outside of the
    layers. layer_tensors: the same for what stands between `blk.N.` and `.weight` or `.bias`. interleaved: tensors of a
    layer whose rows lie with the two halves of a rotated pair next to each other, and the field of the config that
    counts the heads they lie in. windowed: of an architecture that several families share, whether those files are of
    this one that have a sliding window; None: both. experts: of files that have some, and only of those. stored: which
    weights of a model lie otherwise in its GGUF files,
    where `Stored.tensor` goes by the names that `tensors` and `layer_tensors` give. own_config: fields of the config,
    from those that are made of every file and from the keys of its architecture. own_keys: those keys that other
    families refuse. own_values: of a model, what its file says beyond what all do, by those keys. layer_norms: its
    norms are LayerNorms. partial: a part of each head may be rotated.
    """

    architecture: str
    tensors: Mapping[str, str]
    layer_tensors: Mapping[str, str]
    interleaved: Mapping[str, str] = field(default_factory=dict)
    windowed: bool | None = False
    experts: GgufExperts | None = None
    stored: Callable[[Any], Forms] | None = None
    own_config: Callable[[Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any]] | None = None
    own_keys: frozenset[str] = frozenset()
    own_values: Callable[[Any], Mapping[str, Any]] | None = None
    layer_norms: bool = False
    partial: bool = False


@dataclass(frozen=True)
class Family:
    """model_type: in config.json. class_name: that of the model in transformers. read: a config and the file to name in
    errors to a model. layer_prefix: what stands before the number of a layer in the names of its weights. layers_field:
    the field of the config that counts them. sizes: those of other counts. by_layer: lists of the config that say
    something of each layer. gguf: None where no GGUF file of it is read. stored: which weights of a model lie otherwise
    in the files of transformers (`stored.py`). base: what stands before every name but those of heads, and is left
    out in the files of a base model; most encoders here have their weights without it. table: the embedding of the
    tokens. ties: whether a config that does not say it ties the head to the table. buffers: ends of names of tensors
    that files hold and no model needs. own_fields: those of `foreign_fields.py` that it has. renamed: beginnings of
    names in files, and what the model has in their place. heads: of an encoder, by their kinds (`encoder_heads.py`),
    the linear layer by which one sees that a file has such a head. decoder: the last layer of its masked language
    model, where that is not the table. covers: the names under which people know its models. samples: what tiny
    configs of it have beside the sizes of `samples.py`, the most usual first, then its variations."""

    model_type: str
    class_name: str
    read: Callable[[Config, Path | str], DecoderModel | EncoderModel]
    layer_prefix: str = "model.layers."
    layers_field: str = "num_hidden_layers"
    sizes: SizeFields = SizeFields()
    by_layer: tuple[str, ...] = ("layer_types", "no_rope_layers")
    gguf: GgufNames | None = None
    own_fields: frozenset[str] = frozenset()
    stored: Callable[[Any], Forms] | None = None
    base: str = "model."
    table: str = "model.embed_tokens.weight"
    ties: bool = False
    buffers: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    heads: Mapping[str, str] = field(default_factory=dict)
    decoder: str | None = None
    covers: str = ""
    samples: tuple[Mapping[str, Any], ...] = ()


NO_KV_HEADS: Mapping[str, Any] = {"num_key_value_heads": None}
"""In the samples of a family whose config does not say how many heads keys have."""

GGUF_TENSORS = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
GGUF_LAYER_TENSORS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""Of every pre-norm decoder with a gated MLP."""
