from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from honed.errors import ParameterError
from honed.evaluate.metrics.base import MetricOptions
from honed.evaluate.metrics.programs import pass_at, pass_metric


@pytest.mark.parametrize(("tries", "passed", "k"), [(5, 0, 1), (5, 2, 1), (5, 2, 3), (6, 6, 4), (4, 1, 4)])
def test_the_estimate_is_the_share_of_draws_that_pass(tries: int, passed: int, k: int) -> None:
    outcomes = [i < passed for i in range(tries)]
    draws = [any(draw) for draw in combinations(outcomes, k)]
    assert pass_at(k, tries, passed) == pytest.approx(np.mean(draws))


def test_the_mean_over_problems() -> None:
    found = [[True, False], [False, False]]
    assert pass_metric(1).measure([None, None], found, MetricOptions()).value == 0.25
    assert pass_metric(2).measure([None, None], found, MetricOptions()).value == 0.5
    with pytest.raises(ParameterError, match="needs at least 3 tries"):
        pass_metric(3).measure([None, None], found, MetricOptions())
