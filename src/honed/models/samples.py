"""Tiny configs of every family, in the variations that its own file lists: `Family.samples`.

They are what `honed families` runs one of each, and what stands in for fields that a foreign config gets wrong where
the rest of it is still to be read. Not here: their weights (`checkpoints/samples.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from honed.models.encoder_heads import ENDINGS, class_with_head
from honed.models.family import Family

SIZES: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
"""Of every sample that does not spell its sizes otherwise. Only the vocabulary is odd, so that recipes act."""
TOKENS: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None}


def sample_configs(family: Family) -> tuple[dict[str, Any], ...]:
    """The configs of a family, as its config.json would have them; none where the family lists none."""
    configs = tuple(_config(family, own) for own in family.samples)
    if not configs:
        return ()
    # Of an encoder the first one with each of its heads too.
    headed = ({**configs[0], "architectures": [class_with_head(family.class_name, kind)]} for kind in ENDINGS.values())
    return (*configs, *(headed if family.heads else ()))


def _config(family: Family, own: Mapping[str, Any]) -> dict[str, Any]:
    """A family that calls its layers otherwise lists all of its sizes; one that has a size not, says None."""
    sizes = SIZES if family.layers_field in SIZES else {}
    fields = {
        "architectures": [family.class_name],
        "model_type": family.model_type,
        "dtype": "float32",
        **TOKENS,
        **sizes,
        **own,
    }
    return {name: value for name, value in fields.items() if value is not None or name not in SIZES}
