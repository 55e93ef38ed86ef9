"""Certificates of encoders: what they hold, and what they look like as JSON."""

from __future__ import annotations

import json

import numpy as np

from honed.evaluate.bootstrap import Resampling
from honed.evaluate.certificate import Settings, Subject
from honed.evaluate.encoder_certificate import certify_encoder
from honed.evaluate.vectors import VectorScores

OURS, THEIRS = Subject("int8", "auto", "auto", "aa"), Subject("source", "float32", "auto", "bb")


def test_values_and_intervals() -> None:
    cosine = np.linspace(0.9, 1, 101)
    scores = VectorScores(cosine, np.arange(101) % 4 != 0)
    settings = Settings("a text", "cc", 101, 64, Resampling(block_tokens=1), "portable", "1")
    found = certify_encoder(OURS, THEIRS, scores, settings, "mean")
    assert np.isclose(found.cosine_mean.value, 0.95)
    assert found.cosine_mean.low < 0.95 < found.cosine_mean.high
    assert np.isclose(found.cosine_p05.value, 0.905)
    assert np.isclose(found.nearest_agreement.value, 75 / 101)
    document = json.loads(json.dumps(found.to_json()))
    assert document["candidate"] == {"name": "int8", "dtype": "auto", "kv": "auto", "fingerprint": "aa"}
    assert document["pooling"] == "mean"
    assert document["intervals"]["cosine_p05"] == [found.cosine_p05.low, found.cosine_p05.high]
    assert document["settings"]["windows"] == 101
