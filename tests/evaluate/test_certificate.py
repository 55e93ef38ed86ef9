from __future__ import annotations

import json
import math

import numpy as np
import pytest

from honed.evaluate.bootstrap import Resampling
from honed.evaluate.certificate import ESTIMATES, Certificate, Settings, Subject, certify
from honed.evaluate.metrics.tokens import TokenScores


def scores(windows: int = 4, tokens: int = 256) -> TokenScores:
    generator = np.random.default_rng(0)
    reference = generator.exponential(3.0, (windows, tokens))
    return TokenScores(
        candidate_loss=reference + generator.normal(0.01, 0.1, (windows, tokens)),
        reference_loss=reference,
        divergence=generator.exponential(0.01, (windows, tokens)),
        agreement=generator.random((windows, tokens)) < 0.97,
    )


def make(values: TokenScores) -> Certificate:
    windows, tokens = values.divergence.shape
    settings = Settings("text", "ab" * 32, windows, tokens, Resampling(resamples=500), "portable", "0.0")
    return certify(Subject("int8", "auto", "auto", "1"), Subject("source", "float32", "float32", "2"), values, settings)


def test_values_are_the_plain_statistics_of_the_scores() -> None:
    values = scores()
    certificate = make(values)
    assert certificate.tokens == 1024
    assert certificate.perplexity.value == pytest.approx(math.exp(values.candidate_loss.mean()), rel=1e-12)
    assert certificate.reference_perplexity.value == pytest.approx(math.exp(values.reference_loss.mean()), rel=1e-12)
    assert certificate.kl_mean.value == pytest.approx(values.divergence.mean(), rel=1e-12)
    assert certificate.kl_p99.value == np.quantile(values.divergence, 0.99)
    assert certificate.top1_agreement.value == values.agreement.mean()
    ratio = certificate.perplexity.value / certificate.reference_perplexity.value
    assert certificate.perplexity_ratio.value == pytest.approx(ratio, rel=1e-12)


def test_ratio_is_paired_and_so_far_narrower_than_its_parts() -> None:
    certificate = make(scores())
    ratio, perplexity = certificate.perplexity_ratio, certificate.perplexity
    assert (ratio.high - ratio.low) / ratio.value < 0.2 * (perplexity.high - perplexity.low) / perplexity.value


def test_json_has_flat_values_and_comes_back_equal() -> None:
    certificate = make(scores())
    value = json.loads(json.dumps(certificate.to_json()))
    for name in ESTIMATES:
        low, high = value["intervals"][name]
        assert low <= value[name] <= high
    assert value["tokens"] == 1024
    assert value["settings"]["text_sha256"] == "ab" * 32
    assert Certificate.from_json(value) == certificate


@pytest.mark.parametrize("missing", ["kl_mean", "intervals", "settings", "candidate"])
def test_incomplete_json_is_refused(missing: str) -> None:
    value = make(scores()).to_json()
    del value[missing]
    with pytest.raises((KeyError, TypeError, ValueError)):
        Certificate.from_json(value)
