"""Which configs of GPTQ and AWQ are read, and as what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from honed.checkpoints.gptq_awq.config import WordConfig, method_of, read_word_config

PATH = Path("config.json")


@pytest.mark.parametrize(
    ("quantization", "expected"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, WordConfig("gptq", 4, 128, 1)),
        (
            {"quant_method": "gptq", "bits": 8, "group_size": -1, "checkpoint_format": "gptq_v2"},
            WordConfig("gptq", 8, None, 0),
        ),
        ({"quant_method": "awq", "bits": 4, "group_size": 64, "version": "GEMM"}, WordConfig("awq", 4, 64, 0)),
        ({"quant_method": "awq", "w_bit": 4, "q_group_size": 128}, WordConfig("awq", 4, 128, 0)),
        (
            {"quant_method": "gptq", "bits": 4, "group_size": 32, "dynamic": {"+:.*up.*": {"group_size": 64}}},
            WordConfig("gptq", 4, 32, 1),
        ),
    ],
)
def test_what_is_read(quantization: dict[str, Any], expected: WordConfig) -> None:
    assert read_word_config({"quantization_config": quantization}, PATH) == expected


def test_others_are_none_of_the_two() -> None:
    assert method_of({}) is None
    assert method_of({"quantization_config": {"quant_method": "bitsandbytes"}}) is None
    assert method_of({"quantization_config": "awq"}) is None
