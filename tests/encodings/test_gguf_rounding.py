"""Rounding to GGUF blocks, against the gguf package to the byte."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from honed.encodings.gguf_rounding import BY_NAME, ROUNDING, join_halves, round_rows

OF_GGML = sorted(ROUNDING.keys() - {"Q4_K"})


def hard_values() -> np.ndarray:
    """Blocks of every size, of zeros, of one value, and of halves, which are where rounding differs."""
    generator = np.random.default_rng(3)
    blocks = generator.standard_normal((4000, 32), np.float32) * np.exp(generator.uniform(-8, 3, (4000, 1)))
    blocks[0] = 0
    blocks[1] = 0.75
    blocks[2] = -0.75
    blocks[3] = np.append(np.arange(31) - 15.5, 127)
    blocks[4] = np.append(np.arange(31) - 15.5, -127)
    blocks[5, 1:] = 0
    return blocks.astype(np.float32).reshape(1000, 128)


@pytest.mark.parametrize("name", OF_GGML)
def test_bytes_are_those_of_the_gguf_package(name: str) -> None:
    values = hard_values()
    expected = gguf.quants.quantize(values, gguf.GGMLQuantizationType[name])
    np.testing.assert_array_equal(round_rows(name, values), expected)


@pytest.mark.parametrize("name", OF_GGML)
def test_what_is_written_decodes_near_to_what_it_was(name: str) -> None:
    values = hard_values()
    records = round_rows(name, values).view(BY_NAME[name].layout).reshape(-1)
    decoded = BY_NAME[name].decode(records).reshape(-1, 32)
    blocks = values.reshape(-1, 32)
    spread = np.ptp(blocks, axis=1) if name == "Q4_1" else 2 * np.abs(blocks).max(axis=1)
    steps = {"Q8_0": 254, "Q4_0": 16, "Q4_1": 15}[name]
    # Q4_0 has one step less on one side: what would be 8 is cut to 7. Scales lose 2**-11, and those near zero more.
    most = (1.01 if name == "Q4_0" else 0.51) * spread / steps + 2e-3 * np.abs(blocks).max(axis=1) + 1e-5
    assert (np.abs(decoded - blocks).max(axis=1) <= most).all()


def test_halves_of_a_block_share_bytes() -> None:
    codes = np.arange(32, dtype=np.uint8)[None] % 16
    assert join_halves(codes)[0].tolist() == [17 * code for code in range(16)]
