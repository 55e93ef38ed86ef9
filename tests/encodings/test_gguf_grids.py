"""The grids against those of the gguf package, and what a grid promises by itself."""

from __future__ import annotations

from typing import get_args

import gguf
import numpy as np
import pytest

from honed.encodings.gguf_grids import GridName, even_signs, grid, signs


@pytest.mark.parametrize("name", get_args(GridName))
def test_points_are_those_of_the_gguf_package(name: GridName) -> None:
    reference = getattr(gguf.quants, name)
    reference.init_grid()
    np.testing.assert_array_equal(grid(name), reference.grid.reshape(reference.grid_shape))
    assert not grid(name).flags.writeable


def test_signs() -> None:
    assert signs()[0b10000001].tolist() == [-1, 1, 1, 1, 1, 1, 1, -1]
    assert even_signs()[0b1000000].tolist() == [1, 1, 1, 1, 1, 1, -1, -1]
    assert (np.prod(even_signs(), axis=1) == 1).all()
    masks = np.packbits(even_signs() < 0, axis=1, bitorder="little").ravel()
    np.testing.assert_array_equal(masks, np.frombuffer(gguf.quants.IQ2_XXS.ksigns, np.uint8))
