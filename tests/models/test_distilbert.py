"""Rows of the torch reference against transformers."""

from __future__ import annotations

import pytest

from encoder_reference import pooler_rows, token_rows
from honed.errors import UnsupportedError
from tiny_encoders import golden_encoder


@pytest.mark.parametrize("family", ["distilbert", "distilbert_sinusoidal", "distilbert_masked"])
def test_rows_equal_transformers(family: str) -> None:
    made = golden_encoder(family)
    assert made.agrees(token_rows(made))


def test_no_pooler() -> None:
    with pytest.raises(UnsupportedError, match="have no pooler"):
        pooler_rows(golden_encoder("distilbert"))
