"""Rows of the torch reference against transformers: each text of a ragged batch, and the pooler."""

from __future__ import annotations

import pytest

from encoder_reference import pooler_rows, token_rows
from honed.errors import UnsupportedError
from tiny_encoders import golden_encoder

FAMILIES = [
    "bert",
    "bert_relu",
    "bert_gelu_new",
    "bert_one_type",
    "bert_without_pooler",
    "bert_masked",
    "bert_classifier",
    "minilm",
]
POOLED = ["bert", "bert_relu", "bert_classifier", "minilm"]


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_equal_transformers(family: str) -> None:
    made = golden_encoder(family)
    assert made.agrees(token_rows(made))


@pytest.mark.parametrize("family", POOLED)
def test_the_pooler_equals_transformers(family: str) -> None:
    made = golden_encoder(family)
    assert made.pooler_agrees(pooler_rows(made))


@pytest.mark.parametrize("family", ["bert_without_pooler", "bert_masked"])
def test_no_pooler(family: str) -> None:
    with pytest.raises(UnsupportedError, match="have no pooler"):
        pooler_rows(golden_encoder(family))
