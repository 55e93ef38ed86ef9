"""The certificate: the measured quality of one model against another, and everything needed to measure it again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from honed.evaluate.bootstrap import BlockBootstrap, Estimate, Resampling
from honed.evaluate.metrics.tokens import TokenScores

ESTIMATES = ("perplexity", "reference_perplexity", "perplexity_ratio", "kl_mean", "kl_p99", "top1_agreement")
"""The fields of a certificate that have an interval."""


@dataclass(frozen=True)
class Subject:
    """One of the two models: its name, how its weights and its KV cache were to be held, and a digest of its files."""

    name: str
    dtype: str
    kv: str
    fingerprint: str


@dataclass(frozen=True)
class Settings:
    """What the numbers depend on beside the two models."""

    text: str
    text_sha256: str
    windows: int
    window_tokens: int
    resampling: Resampling
    isa: str
    version: str
    """Of honed."""


@dataclass(frozen=True)
class Certificate:
    """Losses and divergences are in nats per token; `top1_agreement` is a fraction. Every value has its interval."""

    candidate: Subject
    reference: Subject
    settings: Settings
    tokens: int
    """Predictions scored."""
    perplexity: Estimate
    reference_perplexity: Estimate
    perplexity_ratio: Estimate
    """Candidate over reference, on the same resamples."""
    kl_mean: Estimate
    kl_p99: Estimate
    top1_agreement: Estimate

    def to_json(self) -> dict[str, Any]:
        """Values under their names, intervals under `intervals`, the rest as it is written here."""
        estimates: dict[str, Estimate] = {name: getattr(self, name) for name in ESTIMATES}
        return {
            "candidate": dataclasses.asdict(self.candidate),
            "reference": dataclasses.asdict(self.reference),
            **{name: estimate.value for name, estimate in estimates.items()},
            "tokens": self.tokens,
            "intervals": {name: [estimate.low, estimate.high] for name, estimate in estimates.items()},
            "settings": dataclasses.asdict(self.settings),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Certificate:
        """The inverse of `to_json`. KeyError, TypeError or ValueError where the value is something else."""
        settings = dict(value["settings"])
        settings["resampling"] = Resampling(**settings["resampling"])
        estimates = {name: Estimate(float(value[name]), *map(float, value["intervals"][name])) for name in ESTIMATES}
        return cls(
            candidate=Subject(**value["candidate"]),
            reference=Subject(**value["reference"]),
            settings=Settings(**settings),
            tokens=int(value["tokens"]),
            **estimates,
        )


def certify(candidate: Subject, reference: Subject, scores: TokenScores, settings: Settings) -> Certificate:
    """Makes the certificate of scores [windows, window tokens]."""
    windows, window_tokens = scores.divergence.shape
    bootstrap = BlockBootstrap(windows, window_tokens, settings.resampling)
    return Certificate(
        candidate=candidate,
        reference=reference,
        settings=settings,
        tokens=windows * window_tokens,
        perplexity=bootstrap.mean(scores.candidate_loss, np.exp),
        reference_perplexity=bootstrap.mean(scores.reference_loss, np.exp),
        perplexity_ratio=bootstrap.mean(scores.candidate_loss - scores.reference_loss, np.exp),
        kl_mean=bootstrap.mean(scores.divergence),
        kl_p99=bootstrap.quantile(scores.divergence, 0.99),
        top1_agreement=bootstrap.mean(scores.agreement.astype(np.float64)),
    )
