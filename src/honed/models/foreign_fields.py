"""Fields of a config that change a model's result and that the families here do not have.

Other architectures scale, cap or mix where a Llama does not. A config that holds such a field with a value that does
something describes a model that none of the families is, whatever its model_type says: leaving the field out would run
another model than was trained. Values that do nothing are let pass.
"""

from __future__ import annotations

from typing import Any

from honed.errors import UnsupportedError, quoted
from honed.models.config import Fields

_SCALES = (
    *("attention_multiplier", "embedding_multiplier", "residual_multiplier", "logits_scaling", "logit_scale"),
    *("lm_head_multiplier", "scale_emb", "mup_scale_factor", "attn_output_multiplier", "key_multiplier"),
)
_OFF = (
    *("attn_logit_softcapping", "final_logit_softcapping", "logits_soft_cap", "clip_qkv", "query_pre_attn_scalar"),
    *("attention_chunk_size", "alibi", "use_alibi", "parallel_attn", "use_parallel_residual", "use_qk_norm"),
    *("qk_layernorm", "qk_norm", "attn_temperature_tuning", "no_rope_layers", "no_rope_layer_interval"),
    *("scale_depth", "dim_model_base", "scale_embeddings", "normalize_embedding"),
)
_COUNTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
_TYPES = ("full_attention", "sliding_attention")


def refuse_foreign_fields(fields: Fields, kind: str, own: frozenset[str] = frozenset()) -> None:
    """UnsupportedError naming the first such field. `kind` is the model_type, `own` what the family has of them."""
    for names, neutral in ((_SCALES, (1,)), (_OFF, (0, [])), (_COUNTS, (0, 1))):
        for name in names:
            value = None if name in own else fields.values.get(name)
            if value is not None and value is not False and value not in neutral:
                raise UnsupportedError(
                    f"{fields.source}: {name} is {quoted(value)}, which a {kind} does not have: another model would "
                    "run; take the field out if it means nothing"
                )
    _check_layer_types(fields, kind)


def _check_layer_types(fields: Fields, kind: str) -> None:
    """Families whose layers are all alike may say so; those that mix read the field themselves."""
    types: Any = fields.values.get("layer_types")
    if types is None or kind not in ("llama", "mistral"):
        return
    windowed = kind == "mistral" and fields.values.get("sliding_window", 0) is not None
    expected = _TYPES[windowed]
    if not isinstance(types, list | tuple) or any(name != expected for name in types):
        raise UnsupportedError(
            f"{fields.source}: layer_types is {quoted(types)}; the layers of a {kind} are all {expected} here"
        )
