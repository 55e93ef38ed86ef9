"""Logits of the torch reference against transformers, the prompt whole and token by token."""

from __future__ import annotations

import pytest

from honed.compress.linears import find_linears
from honed.errors import UnsupportedError
from honed.models.registry import read_model
from tiny_models import golden, reference_by_steps, reference_whole, tiny_config

FAMILIES = ["opt", "opt_350m", "opt_variants"]


@pytest.mark.parametrize("family", FAMILIES)
def test_prefill_equals_transformers(family: str) -> None:
    made = golden(family)
    assert made.agrees(reference_whole(made))


@pytest.mark.parametrize("family", FAMILIES)
def test_steps_equal_transformers(family: str) -> None:
    made = golden(family)
    assert made.agrees(reference_by_steps(made))


def test_norms_without_weights_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="c: layer_norm_elementwise_affine is false"):
        read_model({**tiny_config("opt"), "layer_norm_elementwise_affine": False}, "c")


def test_the_head_of_a_narrow_embedding_is_the_table() -> None:
    found = find_linears(read_model(tiny_config("opt_350m")))
    assert found.tied
    assert found.embedding.shape == (97, 26)
    assert {"model.decoder.project_in.weight", "model.decoder.project_out.weight"} <= {w.name for w in found.layers}
