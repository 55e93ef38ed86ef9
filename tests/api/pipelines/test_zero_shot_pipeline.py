from __future__ import annotations

from typing import Any

import pytest

import honed
from headed_models import close, headed, theirs
from honed.errors import ParameterError, UnsupportedError

NAMES = ("contradiction", "neutral", "entailment")


@pytest.mark.filterwarnings("ignore::honed.notes.HonedWarning")
@pytest.mark.parametrize("names", [NAMES, NAMES[::-1]])
def test_results_are_those_of_transformers(names: Any) -> None:
    path = headed("bert", "ForSequenceClassification", labels=names)
    expected = theirs("zero-shot-classification", path)
    texts = ["Ann lives in Paris", "北京是中国的首都", "Ann " * 100]
    with honed.pipeline("zero-shot-classification", path, dtype="float32") as ours:
        for given in (texts[0], texts):
            for labels in (["Paris", "company", "dog"], "Paris, dog", ["fox"]):
                for more in ({}, {"multi_label": True}, {"hypothesis_template": "works for {}"}):
                    found: Any = ours(given, labels, **more)
                    assert close(found, expected(given, labels, **more)), (given, labels, more)
        assert list(ours(iter(texts), candidate_labels=["dog", "fox"])) == ours(texts, candidate_labels=["dog", "fox"])
        with pytest.raises(ParameterError, match="candidate_labels"):
            ours("Ann", [])
        with pytest.raises(ParameterError, match="sequences"):
            ours(3, ["dog"])
    with pytest.raises(UnsupportedError, match="entailment"):
        honed.pipeline("zero-shot-classification", headed("bert", "ForSequenceClassification", num_labels=3))
