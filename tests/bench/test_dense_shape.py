"""Elements of a dense directory against the shapes that it was made with."""

from __future__ import annotations

from pathlib import Path

import pytest

from honed.bench.peers.dense_shape import DenseShape

LAYER = 48 * 48 * 2 + 2 * 48 * 24 + 3 * 48 * 80


def test_counts_layers_and_the_tied_head_once(tiny_llama: Path) -> None:
    shape = DenseShape.of(tiny_llama)
    vocabulary = shape.head_elements // 48
    assert shape.layer_elements == 2 * LAYER
    assert shape.head_elements == vocabulary * 48
    assert shape.kv_elements == 2 * 2 * 2 * 12
    assert shape.in_features == {48, 80}


def test_footprint_at_mixed_widths(tiny_llama: Path) -> None:
    shape = DenseShape.of(tiny_llama)
    footprint = shape.footprint(layer_bits=4.5, head_bits=8, kv_element_bytes=2, arithmetic="int8")
    assert footprint.weight_bytes == 2 * LAYER * 4.5 / 8 + shape.head_elements
    assert footprint.kv_bytes_per_position == 2 * 2 * 2 * 12 * 2
    assert footprint.prompt_operations == 2 * 2 * LAYER
    assert footprint.head_operations == 2 * shape.head_elements


@pytest.mark.parametrize(("widths", "group"), [({4096, 11008}, 128), ({576, 1536}, 64), ({96, 64}, 32), ({48, 80}, 32)])
def test_group_is_the_first_that_divides_every_row(widths: set[int], group: int) -> None:
    assert DenseShape(1, 1, 1, frozenset(widths)).group((128, 64, 32)) == group
