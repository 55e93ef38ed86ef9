from __future__ import annotations

from typing import Any

import numpy as np

import honed
from headed_models import headed, theirs


def test_rows_are_those_of_transformers() -> None:
    path = headed("bert", "ForMaskedLM")
    texts = ["Ann lives in Paris", "北京"]
    expected: Any = theirs("feature-extraction", path)(texts)
    with honed.pipeline("feature-extraction", path, dtype="float32") as ours:
        found: Any = ours(texts)
        assert [np.shape(rows) for rows in found] == [np.shape(rows) for rows in expected]
        for rows, others in zip(found, expected, strict=True):
            np.testing.assert_allclose(rows, others, atol=2e-4)
        array = ours(texts[0], return_tensors=True)
        np.testing.assert_array_equal(array, np.array(found[0], dtype=np.float32))
