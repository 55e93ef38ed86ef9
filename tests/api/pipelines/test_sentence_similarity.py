from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import honed
from headed_models import headed
from honed.errors import ParameterError

OTHERS = ["Ann works in Berlin", "北京是中国的首都", "the lazy dog"]


def test_cosines_of_vectors() -> None:
    with honed.load(headed("bert", "ForMaskedLM")) as model:
        ours: Any = honed.pipeline("sentence-similarity", model)
        rows = model.embed(["Ann lives", *OTHERS], normalize=True)
        found = ours("Ann lives", OTHERS)
        np.testing.assert_allclose(found, rows[1:] @ rows[0], atol=1e-6)
        record = {"source_sentence": "Ann lives", "sentences": OTHERS}
        assert found == ours(record) == ours([record])[0]
        assert ours("Ann lives", OTHERS, pooling="cls") != found
        for given in ("Ann", {"source_sentence": "Ann"}, [3]):
            with pytest.raises(ParameterError):
                ours(given)
