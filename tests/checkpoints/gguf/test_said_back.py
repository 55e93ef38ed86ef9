"""What a reader of a GGUF file would take for something else."""

from __future__ import annotations

from typing import Any

import pytest

from honed.checkpoints.gguf.said_back import check_same
from honed.errors import UnsupportedError
from honed.models.registry import FAMILIES, read_model
from honed.models.samples import sample_configs

CONFIG = sample_configs(FAMILIES["llama"])[0]


def model(**fields: Any) -> Any:
    return read_model({**CONFIG, **fields})


def test_the_same_model_passes_with_numbers_rounded_to_float32() -> None:
    check_same(model(rms_norm_eps=1e-6), model(rms_norm_eps=9.999999974752427e-07), "llama")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"rms_norm_eps": 1e-5}, "eps"),
        ({"rope_theta": 500.0}, "rope"),
        ({"num_hidden_layers": 3}, "layers"),
        ({"hidden_act": "gelu_new"}, "gelu_tanh"),
        ({"mlp_bias": True}, "gate_proj"),
        ({"tie_word_embeddings": True}, "lm_head"),
    ],
)
def test_what_differs_is_named(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(UnsupportedError, match=named):
        check_same(model(), model(**fields), "llama")
