from __future__ import annotations

import numpy as np

from honed.compress.needs import InputStatistics


def statistics(rows: np.ndarray) -> InputStatistics:
    wide = rows.astype(np.float64)
    return InputStatistics({"w": (wide**2).mean(0), "other": np.ones(3)}, {"w": wide.T @ wide / len(rows)}, len(rows))


def test_statistics_of_divided_inputs_are_those_that_are_divided() -> None:
    rows = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    factors = np.array([0.5, 8, 1], np.float32)
    found, expected = statistics(rows).divided({"w": factors}), statistics(rows / factors)
    np.testing.assert_array_equal(found.mean_square["w"], expected.mean_square["w"])
    np.testing.assert_array_equal(found.mean_square["other"], np.ones(3))
    np.testing.assert_allclose(found.gram["w"], expected.gram["w"], rtol=1e-12)
    np.testing.assert_array_equal(found.rms("w"), np.sqrt(expected.mean_square["w"]))
    assert found.tokens == 20
