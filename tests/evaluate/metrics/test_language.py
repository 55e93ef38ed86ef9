from __future__ import annotations

import math

import pytest

from honed.evaluate.metrics.base import MetricOptions
from honed.evaluate.metrics.language import METRICS, Predicted

DOCUMENTS = [Predicted(8.0, 4, 10, 0.4, 3), Predicted(4.0, 2, 20, 0.2, 1)]


def test_values_are_of_all_tokens_together() -> None:
    values = {metric.name: metric.measure([None] * 2, DOCUMENTS, MetricOptions()).value for metric in METRICS}
    assert values == pytest.approx(
        {
            "perplexity": math.exp(12 / 6),
            "bits_per_byte": 12 / math.log(2) / 30,
            "kl": 0.1,
            "top1_agreement": 4 / 6,
        }
    )


def test_the_worst_document_is_that_with_the_most_loss_a_token_or_byte() -> None:
    worst = {}
    for metric in METRICS:
        each = metric.measure([None] * 2, DOCUMENTS, MetricOptions()).each
        assert each is not None
        worst[metric.name] = each.tolist()
    assert worst["bits_per_byte"] == pytest.approx([-0.8, -0.2])
    assert worst["top1_agreement"] == pytest.approx([0.75, 0.5])
