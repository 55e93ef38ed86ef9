"""What GGUF metadata says of a model that would run wrongly if it were ignored: refused by name here.

A key is neutral at the values that change nothing, which converters write for completeness. Keys that `config.py`
reads, and those that only describe a file, are known; any other one under `attention.` or `rope.` is refused, since it
says that the model attends or rotates in a way that is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from honed.checkpoints.gguf.header import TensorEntry
from honed.checkpoints.gguf.metadata import Metadata, Numbers, Strings, Text
from honed.errors import UnsupportedError, quoted

Scalar = int | float | bool | str

_OFF: tuple[Scalar, ...] = (0,)  # False is 0
_UNSCALED: tuple[Scalar, ...] = (0, 1)  # llama.cpp takes 0 for a scale that is not set
_NEUTRAL: dict[str, tuple[Scalar, ...]] = {
    "expert_count": _OFF,
    "expert_used_count": _OFF,
    "expert_shared_count": _OFF,
    "expert_shared_feed_forward_length": _OFF,
    "expert_feed_forward_length": _OFF,
    "expert_chunk_feed_forward_length": _OFF,
    "expert_weights_norm": _OFF,
    "expert_weights_scale": _UNSCALED,
    "expert_gating_func": _OFF,
    "expert_group_count": (0, 1),
    "expert_group_used_count": (0, 1),
    "expert_group_scale": _UNSCALED,
    "experts_per_group": _OFF,
    "moe_every_n_layers": (0, 1),
    "moe_latent_size": _OFF,
    "interleave_moe_layer_step": (0, 1),
    "leading_dense_block_count": _OFF,
    "nextn_predict_layers": _OFF,
    "n_deepstack_layers": _OFF,
    "decoder_block_count": _OFF,
    "use_parallel_residual": _OFF,
    "swin_norm": _OFF,
    "rescale_every_n_layers": _OFF,
    "token_shift_count": _OFF,
    "full_attention_interval": _OFF,
    "activation_sparsity_scale": _OFF,
    "embedding_length_per_layer_input": _OFF,
    "altup.num_inputs": _UNSCALED,
    "logit_scale": _UNSCALED,
    "residual_scale": _UNSCALED,
    "embedding_scale": _UNSCALED,
    "attn_logit_softcapping": _OFF,
    "final_logit_softcapping": _OFF,
    "swiglu_clamp_exp": _OFF,
    "swiglu_clamp_shexp": _OFF,
    "hidden_activation": ("silu", "swish"),
    "attention.causal": (True,),
    "attention.max_alibi_bias": _OFF,
    "attention.clamp_kqv": _OFF,
    "attention.output_scale": _UNSCALED,
    "attention.temperature_scale": _OFF,
    "attention.temperature_length": _OFF,
    "attention.relative_buckets_count": _OFF,
    "attention.shared_kv_layers": _OFF,
    "attention.group_norm_groups": _OFF,
    "rope.scaling.alpha": _OFF,
    "rope.scaling.yarn_ext_factor": (-1, 1),
    "rope.scaling.yarn_attn_factor": (-1, 1),
}
_OTHER_KINDS = ("ssm.", "wkv.", "kda.", "shortconv.", "posnet.", "convnext.", "classifier.", "altup.", "laurel.")
"""Parts of a model that none of the architectures here has."""
_KNOWN = {
    "attention": "head_count head_count_kv key_length value_length layer_norm_epsilon layer_norm_rms_epsilon "
    "group_norm_epsilon sliding_window sliding_window_pattern scale key_length_swa value_length_swa",
    "rope": "dimension_count dimension_count_swa dimension_sections freq_base freq_base_swa scale_linear scaling.type "
    "scaling.factor scaling.attn_factor scaling.original_context_length scaling.finetuned scaling.yarn_log_multiplier "
    "scaling.yarn_beta_fast scaling.yarn_beta_slow",
}
_OF_ARCHITECTURE = {
    "gemma2": ("attn_logit_softcapping", "final_logit_softcapping"),
    "gemma3": ("final_logit_softcapping",),
}
"""Keys of the list above that some architectures have."""
_QUANTIZATION_VERSION = 2


def refuse_variants(
    metadata: Metadata, architecture: str, tensors: Mapping[str, TensorEntry], own: frozenset[str] = frozenset()
) -> None:
    """UnsupportedError naming the first key whose value would have to change what is computed. `own`: keys that the
    family reads itself."""
    _check_general(metadata, tensors)
    prefix = f"{architecture}."
    for key in metadata.values:
        if not key.startswith(prefix):
            continue
        name = key.removeprefix(prefix)
        if name in own or name in _OF_ARCHITECTURE.get(architecture, ()):
            continue
        if name in _NEUTRAL:
            _require(metadata, key, _NEUTRAL[name])
            continue
        group, _, rest = name.partition(".")
        if name.startswith(_OTHER_KINDS) or (group in _KNOWN and rest not in _KNOWN[group].split()):
            _require(metadata, key, _OFF)


def _check_general(metadata: Metadata, tensors: Mapping[str, TensorEntry]) -> None:
    kind = metadata.text("general.type")
    if kind not in (None, "model"):
        raise UnsupportedError(f"{metadata.path}: general.type: is {quoted(kind)}, and only a model can be run")
    version = metadata.integer("general.quantization_version")
    if version not in (None, _QUANTIZATION_VERSION) and any(entry.format.codes for entry in tensors.values()):
        raise UnsupportedError(
            f"{metadata.path}: general.quantization_version: is {version}, and blocks are read in version "
            f"{_QUANTIZATION_VERSION}: convert the file again with a newer llama.cpp"
        )


def _require(metadata: Metadata, key: str, neutral: tuple[Scalar, ...]) -> None:
    for value in values_of(metadata, key):
        if value not in neutral:
            shown = " or ".join(str(one) for one in neutral)
            raise UnsupportedError(f"{metadata.path}: {key}: is {quoted(value)}, and supported is {shown} here")


def values_of(metadata: Metadata, key: str) -> Iterable[Scalar]:
    """The value, or those of an array, each once."""
    value = metadata.values[key]
    if isinstance(value, Numbers):
        found = metadata.flags(key) if value.dtype.kind == "b" else metadata.numbers(key)
        assert found is not None
        return [one.item() for one in np.unique(found)]
    if isinstance(value, Strings):
        return metadata.texts(key) or []
    return [metadata.text(key) or ""] if isinstance(value, Text) else [value]
