"""pass@k of programs: how likely one of k tries passes its tests (Chen et al. 2021, equation 1). Not here: running them
(`evaluate/sandbox.py`); a prediction is the list of outcomes of its tries."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

import numpy as np

from honed.errors import ParameterError
from honed.evaluate.metrics.base import Measured, Metric, MetricOptions, mean


def pass_at(k: int, tries: int, passed: int) -> float:
    """The unbiased estimate: one minus how likely k of the tries, drawn without replacement, all fail."""
    return 1.0 - comb(tries - passed, k) / comb(tries, k)


def pass_metric(k: int) -> Metric:
    """The metric pass@k."""
    name = f"pass@{k}"

    def measure(
        references: Sequence[object], predictions: Sequence[Sequence[bool]], options: MetricOptions
    ) -> Measured:
        least = min(len(outcomes) for outcomes in predictions)
        if least < k:
            raise ParameterError("metrics", name, f"needs at least {k} tries of each example, and samples is {least}")
        each = np.array([pass_at(k, len(outcomes), sum(outcomes)) for outcomes in predictions])
        single = all(len(outcomes) == 1 for outcomes in predictions)
        return mean(each, each == 1 if single else None)

    return Metric(name, measure)
