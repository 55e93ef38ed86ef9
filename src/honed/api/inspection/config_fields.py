"""Fields of a config that no family here reads: what an unknown model has, and nothing here would do.

Which fields a family reads is found by watching it read its samples. Not here: fields that a known family refuses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from honed.api.inspection.faults import Fault
from honed.errors import quoted
from honed.models.registry import FAMILIES
from honed.models.samples import sample_configs

_MOST = 48
_SAYS_NOTHING = (
    "architectures auto_map model_type dtype torch_dtype transformers_version use_cache initializer_range "
    "_name_or_path bos_token_id eos_token_id pad_token_id sep_token_id cls_token_id decoder_start_token_id "
    "return_dict output_attentions output_hidden_states id2label label2id problem_type gradient_checkpointing "
    "pretraining_tp is_encoder_decoder is_decoder add_cross_attention attn_implementation _attn_implementation "
    "cache_implementation quantization_config unsloth_version task_specific_params finetuning_task language license "
    "router_aux_loss_coef aux_loss_alpha seq_aux output_router_logits router_jitter_noise rope_theta "
    "z_loss_coefficient layer_norm_epsilon classifier_dropout summary_type initializer_factor init_std"
)
_BOOKKEEPING = frozenset(_SAYS_NOTHING.split())
"""Of what an engine computes."""


class _Watched(Mapping[str, Any]):
    """A config that writes down which of its fields were asked for."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@cache
def read_fields() -> frozenset[str]:
    """The fields that any family asks its config for."""
    found: set[str] = set()
    for family in FAMILIES.values():
        for config in sample_configs(family):
            watched = _Watched(config)
            family.read(watched, "sample")
            found |= watched.asked
    return frozenset(found)


def foreign_fields(config: Mapping[str, Any]) -> list[Fault]:
    """Those of a config that change what is computed, as far as can be told: not off, not known, not bookkeeping."""
    known = read_fields() | _BOOKKEEPING
    found = []
    for name, value in config.items():
        off = value is None or value is False or (value is not True and value in ([], {}, 0, 1.0))
        if off or name in known or name.endswith(("dropout", "_pdrop", "_dropout_prob")):
            continue
        found.append(Fault("field", name, "no family here has such a field", quoted(value)))
    return found[:_MOST]
