"""Blocks of one to three bits, each field by hand; that whole blocks are ggml's is in test_gguf_blocks.py."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from honed.encodings.gguf_formats import FORMATS
from honed.encodings.gguf_grid_blocks import POINTS, iq1_m_factor
from honed.encodings.gguf_grids import grid

BY_NAME = {entry.name: entry for entry in FORMATS.values()}


def test_a_point_a_level_and_signs() -> None:
    block = np.zeros(1, BY_NAME["IQ2_XXS"].layout)
    block["d"] = 2.0
    block["codes"][0, 2] = 7 << 8  # of the second 32 values the second point
    block["codes"][0, 3] = 3 << 28 | 0b0000001 << 7  # level 3; its first sign and, to make them even, its last
    values = BY_NAME["IQ2_XXS"].decode(block)[0]
    expected = 2.0 * 3.5 * 0.25 * grid("IQ2_XXS")[7] * np.array([-1, 1, 1, 1, 1, 1, 1, -1])
    np.testing.assert_array_equal(values[40:48], expected)
    np.testing.assert_array_equal(values[:32], np.tile(2.0 * 0.5 * 0.25 * grid("IQ2_XXS")[0], 4))


@pytest.mark.parametrize("name", POINTS)
def test_every_integer_is_one_of_the_values(name: str) -> None:
    entry, points = BY_NAME[name], POINTS[name]
    data = np.random.default_rng(1).integers(0, 256, 400 * entry.nbytes, dtype=np.uint8).view(entry.layout)
    assert set(np.unique(points.codes(data)).tolist()) == set(points.values)
    assert (points.levels(data) % 2 == 1).all()
    assert points.levels(data).shape == (400, 16 if name in ("IQ2_XS", "IQ2_S", "IQ1_M") else 8)


def test_the_scale_of_iq1_m_is_in_four_places() -> None:
    block = np.zeros(1, BY_NAME["IQ1_M"].layout)
    block["scales"][0] = [0x4FFF, 0x3FFF, 0x2FFF, 0x1FFF]
    np.testing.assert_array_equal(iq1_m_factor(block).view(np.uint16), [0x1234])


@pytest.mark.parametrize("name", ["TQ1_0", "TQ2_0"])
def test_ternary_codes_are_those_that_the_gguf_package_wrote(name: str) -> None:
    codes = np.random.default_rng(1).integers(-1, 2, (6, 512)).astype(np.float32)
    codes[:, ::256] = 1.0
    data = gguf.quants.quantize(codes * np.float32(0.5), gguf.GGMLQuantizationType[name])
    entry = BY_NAME[name]
    assert entry.codes is not None
    np.testing.assert_array_equal(entry.codes(data.reshape(-1).view(entry.layout)).reshape(6, 512), codes)
