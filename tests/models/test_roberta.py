"""Rows of the torch reference against transformers; where positions begin."""

from __future__ import annotations

import pytest

from encoder_reference import pooler_rows, token_rows
from honed.errors import FormatError
from honed.models.roberta import Roberta
from tiny_encoders import SIZES, golden_encoder

FAMILIES = ["roberta", "roberta_padding", "roberta_masked", "xlm_roberta", "xlm_roberta_tokens"]


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_equal_transformers(family: str) -> None:
    made = golden_encoder(family)
    assert made.agrees(token_rows(made))


@pytest.mark.parametrize("family", ["roberta", "roberta_padding", "xlm_roberta"])
def test_the_pooler_equals_transformers(family: str) -> None:
    made = golden_encoder(family)
    assert made.pooler_agrees(pooler_rows(made))


def test_positions_begin_behind_the_padding() -> None:
    config = {"model_type": "roberta", **SIZES}
    assert Roberta.from_config(config, "c").config.first_position == 2
    assert (
        Roberta.from_config({**config, "pad_token_id": 4}, "c").dimensions.context
        == SIZES["max_position_embeddings"] - 5
    )
    with pytest.raises(FormatError, match="c: pad_token_id: is -1"):
        Roberta.from_config({**config, "pad_token_id": -1}, "c")
