"""The certificate of an encoder: how close its vectors are to those of another, and what measuring again needs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from honed.evaluate.bootstrap import BlockBootstrap, Estimate
from honed.evaluate.certificate import Settings, Subject
from honed.evaluate.vectors import VectorScores

ESTIMATES = ("cosine_mean", "cosine_p05", "nearest_agreement")
"""The fields of a certificate that have an interval."""


@dataclass(frozen=True)
class EncoderCertificate:
    """Over the texts of a corpus, a window each. `cosine_p05`: a text in twenty is below it. `nearest_agreement`: the
    fraction of texts that have the same nearest other text."""

    candidate: Subject
    reference: Subject
    settings: Settings
    pooling: str
    cosine_mean: Estimate
    cosine_p05: Estimate
    nearest_agreement: Estimate

    def to_json(self) -> dict[str, Any]:
        """Values under their names, intervals under `intervals`, the rest as it is written here."""
        estimates: dict[str, Estimate] = {name: getattr(self, name) for name in ESTIMATES}
        return {
            "candidate": dataclasses.asdict(self.candidate),
            "reference": dataclasses.asdict(self.reference),
            "pooling": self.pooling,
            **{name: estimate.value for name, estimate in estimates.items()},
            "intervals": {name: [estimate.low, estimate.high] for name, estimate in estimates.items()},
            "settings": dataclasses.asdict(self.settings),
        }


def certify_encoder(
    candidate: Subject, reference: Subject, scores: VectorScores, settings: Settings, pooling: str
) -> EncoderCertificate:
    """Makes the certificate of scores, which are resampled text by text: the windows lie apart from each other."""
    bootstrap = BlockBootstrap(len(scores.cosine), 1, settings.resampling)
    return EncoderCertificate(
        candidate=candidate,
        reference=reference,
        settings=settings,
        pooling=pooling,
        cosine_mean=bootstrap.mean(scores.cosine),
        cosine_p05=bootstrap.quantile(scores.cosine, 0.05),
        nearest_agreement=bootstrap.mean(scores.agreement.astype(np.float64)),
    )
