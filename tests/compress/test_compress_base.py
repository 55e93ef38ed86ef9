from __future__ import annotations

import numpy as np

from honed.compress.base import TiedHead


def test_factors_of_a_tied_head_multiply_and_are_computed_when_they_are_asked_for() -> None:
    asked: list[str] = []

    def factors(*values: float) -> np.ndarray:
        asked.append(str(values))
        return np.array(values, np.float32)

    assert TiedHead().product() is None
    head = TiedHead(frozenset({"norm"}), (lambda: factors(2, 1), lambda: factors(4, 0.5)))
    assert asked == []
    product = head.product()
    assert product is not None
    assert product.tolist() == [8, 0.5]
    assert product.dtype == np.float32
