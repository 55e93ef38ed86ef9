"""Dense weights: widening is exact, rounding is torch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from honed.encodings.dense import Dense, bfloat16_to_float32, float32_to_bfloat16

ALL_BITS = np.arange(1 << 16, dtype=np.uint16)


def test_every_bfloat16_widens_exactly() -> None:
    expected = torch.from_numpy(ALL_BITS.view(np.int16)).view(torch.bfloat16).float().numpy()
    assert np.array_equal(bfloat16_to_float32(ALL_BITS).view(np.uint32), expected.view(np.uint32))


def test_rounding_is_to_nearest_even_as_in_torch() -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 1 << 32, 200_000, dtype=np.uint32)
    halfway = (ALL_BITS.astype(np.uint32) << 16) + 0x8000
    values = np.concatenate([bits, halfway, halfway - 1, halfway + 1]).view(np.float32)
    values = values[~np.isnan(values)]
    expected = torch.from_numpy(values).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    assert np.array_equal(float32_to_bfloat16(values), expected)


def test_not_a_number_stays_one() -> None:
    bits = np.array([0x7F800001, 0x7FFFFFFF, 0xFF800001, 0xFFFFFFFF], np.uint32)
    assert np.isnan(bfloat16_to_float32(float32_to_bfloat16(bits.view(np.float32)))).all()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_protocol(dtype: str) -> None:
    values = np.random.default_rng(1).standard_normal((6, 5)).astype(np.float32)
    stored = {
        "float32": Dense(values, "float32"),
        "float16": Dense(values.astype(np.float16), "float16"),
        "bfloat16": Dense(float32_to_bfloat16(values), "bfloat16"),
    }[dtype]
    expected = torch.from_numpy(values).to(getattr(torch, dtype)).float().numpy()
    assert (stored.shape, stored.kind, stored.nbytes) == ((6, 5), "dense", 30 * (4 if dtype == "float32" else 2))
    for rows in (slice(None), slice(1, 4), slice(5, 99), slice(None, None, 2), slice(3, 3)):
        decoded = stored.decode(rows)
        assert decoded.dtype == np.float32
        assert np.array_equal(decoded, expected[rows])


def test_wrong_storage_is_refused() -> None:
    with pytest.raises(TypeError, match="bfloat16 is stored as uint16, not float32"):
        Dense(np.zeros(3, np.float32), "bfloat16")
