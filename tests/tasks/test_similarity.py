from __future__ import annotations

import numpy as np

from honed.tasks.similarity import DOCUMENT, QUERY, cosines, prompt_among


def test_cosines_are_the_same_to_the_bit_beside_others() -> None:
    rows = np.random.default_rng(1).standard_normal((40, 384)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = cosines(rows[0], rows)
    np.testing.assert_allclose(found, rows @ rows[0], atol=1e-6)
    assert found == [cosines(rows[0], rows[index : index + 1])[0] for index in range(40)]


def test_prompts_by_their_usual_names() -> None:
    assert prompt_among(("passage", "query", "corpus"), QUERY) == "query"
    assert prompt_among(("passage", "query", "corpus"), DOCUMENT) == "passage"
    assert prompt_among((), QUERY) is None
