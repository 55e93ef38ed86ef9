from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.evaluate.metrics.answers import METRICS, exact_match, normalized, word_f1
from honed.evaluate.metrics.base import MetricOptions

TEXT = st.text(alphabet="ab an the.,' \n", max_size=12)


def test_normalized_as_squad_does() -> None:
    assert normalized("  The Eiffel-Tower, an  icon. ") == "eiffeltower icon"


def test_scores_counted_by_hand() -> None:
    assert word_f1("the red old house", "red house here") == pytest.approx(2 / 3)
    assert exact_match("The House.", "house") == 1
    assert word_f1("", "house") == 0
    assert word_f1("the", "a") == 1


def test_the_best_of_several_answers_counts_and_none_is_the_empty_one() -> None:
    references = [["Paris", "the city of Paris"], [], []]
    exact, f1 = (metric.measure(references, ["city of paris", "", "x"], MetricOptions()) for metric in METRICS)
    assert exact.value == pytest.approx(2 / 3)
    assert f1.value == pytest.approx(2 / 3)
    assert exact.right is not None and exact.right.tolist() == [True, True, False]


@given(TEXT, TEXT)
def test_f1_is_symmetric_and_one_where_the_match_is_exact(a: str, b: str) -> None:
    assert word_f1(a, b) == pytest.approx(word_f1(b, a))
    assert exact_match(a, b) <= word_f1(a, b) <= 1
