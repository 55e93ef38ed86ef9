from __future__ import annotations

from typing import Any

import pytest

import honed
from headed_models import close, headed, theirs
from honed.errors import ParameterError

TEXTS = ["Ann lives in [MASK].", "[MASK] lives in [MASK]", "北京是中国的[MASK]都"]


@pytest.mark.parametrize(("model_type", "kind"), [("bert", "wordpiece"), ("roberta", "bytes")])
def test_results_are_those_of_transformers(model_type: str, kind: str) -> None:
    path = headed(model_type, "ForMaskedLM", kind)
    expected = theirs("fill-mask", path)
    with honed.pipeline("fill-mask", path, dtype="float32") as ours:
        for given in (*TEXTS, TEXTS, TEXTS[:1]):
            for more in ({}, {"top_k": 2}):
                found: Any = ours(given, **more)
                assert close(found, expected(given, **more)), given
        some = ours(TEXTS[0], targets=["Paris", "dog", "Ann"])
        assert close(some, expected(TEXTS[0], targets=["Paris", "dog", "Ann"]))
        assert ours(TEXTS) == [ours(text) for text in TEXTS]
        with pytest.raises(ParameterError, match="MASK"):
            ours("Ann")
