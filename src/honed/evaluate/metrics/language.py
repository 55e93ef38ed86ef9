"""Metrics of text that a model predicts token by token: perplexity, bits per byte, divergence, agreement.

An example is a document; what is summed are its tokens. Not here: from logits to scores of tokens (`tokens.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from honed.evaluate.metrics.base import Float64, Measured, Metric, MetricOptions, additive, ratio


@dataclass(frozen=True)
class Predicted:
    """Of one document. loss: -log p in nats, of all its predicted tokens together. divergence: KL(reference || model),
    summed likewise; agreement: tokens of which both say the same is the most likely. bytes: of UTF-8 that the
    predicted tokens stand for."""

    loss: float
    tokens: int
    bytes: int
    divergence: float
    agreement: int


def _metric(
    name: str,
    above: str,
    below: str,
    transform: Callable[[Float64], Float64] | None = None,
    *,
    higher: bool = False,
    bounded: bool = False,
) -> Metric:
    """The metric of one field of `Predicted` over another, transformed."""

    def measure(references: Sequence[object], predictions: Sequence[Predicted], options: MetricOptions) -> Measured:
        parts = np.array([[getattr(found, above), getattr(found, below)] for found in predictions], dtype=np.float64)

        def value(sums: Float64) -> Float64:
            found = ratio(sums[:, 0], sums[:, 1], np.nan)
            return found if transform is None else transform(found)

        each = ratio(parts[:, 0], parts[:, 1], np.nan)
        return additive(parts, value, each if higher else -each)

    return Metric(name, measure, higher, bounded)


METRICS = (
    _metric("perplexity", "loss", "tokens", np.exp),
    _metric("bits_per_byte", "loss", "bytes", lambda nats: nats / np.log(2)),
    _metric("kl", "divergence", "tokens"),
    _metric("top1_agreement", "agreement", "tokens", higher=True, bounded=True),
)
