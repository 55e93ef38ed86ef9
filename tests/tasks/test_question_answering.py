"""Answers by the formula of transformers 4 for one window, written out here, and by brute force for several."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.errors import ParameterError
from honed.tasks.question_answering import AnswerOptions, Question, QuestionAnswering
from honed.text.encoder_input import EncoderTexts
from known_rows import tokenizer

LETTERS = "abcdefg"


def logits_of(seed: int, tokens: tuple[int, ...], scale: float = 2.0) -> Any:
    random = np.random.default_rng([seed, *tokens])
    return (scale * random.standard_normal((len(tokens), 2))).astype(np.float32)


def one_window(question: str, context: str, logits: Any, *, most: int, longest: int, none: bool) -> list[Any]:
    """As transformers 4.50 does it: masked softmax of both sides, [CLS] in it, spans under a triangle."""
    before = len(question.split()) + 2
    words = context.split()
    allowed = np.zeros(len(logits), dtype=bool)
    allowed[0] = True
    allowed[before : before + len(words)] = True
    sides = []
    for side in (0, 1):
        scores = np.where(allowed, logits[:, side].astype(np.float64), -10000.0)
        powers = np.exp(scores - scores.max())
        sides.append(powers / powers.sum())
    start, end = sides
    null = start[0] * end[0]
    start[0] = end[0] = 0.0
    spans = np.tril(np.triu(np.outer(start, end)), longest - 1)
    best = np.argsort(-spans, axis=None, kind="stable")[: most * 2 + 10]
    found: dict[str, list[Any]] = {}
    for place in best:
        first, last = divmod(int(place), len(logits))
        if not (allowed[first] and allowed[last]) or first == 0 or spans[first, last] == 0:
            continue
        text = " ".join(words[first - before : last - before + 1])
        begin = len(" ".join([*words[: first - before], ""]))
        if text in found:
            found[text][0] += spans[first, last]
        else:
            found[text] = [spans[first, last], begin, begin + len(text), text]
    answers = list(found.values())
    if none:
        answers.append([null, 0, 0, ""])
    return sorted(answers, key=lambda answer: -answer[0])[:most]


@settings(max_examples=60)
@given(
    context=st.lists(st.sampled_from(LETTERS), min_size=1, max_size=14),
    seed=st.integers(0, 10**6),
    most=st.integers(1, 4),
    longest=st.integers(1, 6),
    none=st.booleans(),
)
def test_one_window_is_what_transformers_gives(
    context: list[str], seed: int, most: int, longest: int, none: bool
) -> None:
    asked = Question("a h", " ".join(context))
    task = QuestionAnswering(EncoderTexts(tokenizer(), 40), AnswerOptions(most=most, longest=longest, may_be_none=none))
    inputs = task.inputs(asked)
    assert len(inputs) == 1
    logits = logits_of(seed, inputs[0].tokens)
    found = task.result(asked, inputs, [logits])
    expected = one_window(asked.question, asked.context, logits, most=most, longest=longest, none=none)
    assert [(one.start, one.end, one.answer) for one in found] == [tuple(one[1:]) for one in expected]
    np.testing.assert_allclose([one.score for one in found], [one[0] for one in expected], rtol=1e-9)


@settings(max_examples=60)
@given(length=st.integers(9, 30), stride=st.integers(0, 3), seed=st.integers(0, 10**6), none=st.booleans())
def test_several_windows_compare(length: int, stride: int, seed: int, none: bool) -> None:
    """Every span is counted once, where its first token is owned, and all probabilities come to 1."""
    words = [f"{LETTERS[index % 7]}" for index in range(length)]
    asked = Question("h", " ".join(words))
    options = AnswerOptions(window=9, stride=stride, longest=3, may_be_none=none, most=500)
    task = QuestionAnswering(EncoderTexts(tokenizer(), 40), options)
    inputs = task.inputs(asked)
    assert len(inputs) > 1
    rows = [logits_of(seed + index, window.tokens) for index, window in enumerate(inputs)]
    found = task.result(asked, inputs, rows)

    starts: dict[int, float] = {}
    ends: dict[int, float] = {}
    spans: dict[tuple[int, int], float] = {}
    for window, logits in zip(inputs, rows, strict=True):
        powers = np.exp(logits.astype(np.float64))
        for row in range(*window.own):
            starts[window.start + row - 3] = powers[row, 0]
            ends[window.start + row - 3] = powers[row, 1]
            for last in range(row, min(row + 3, len(window.tokens) - 1)):
                place = window.start - 3
                spans[row + place, last + place] = powers[row, 0] * powers[last, 1]
    assert sorted(starts) == list(range(length))
    nulls = [np.exp(logits[0].astype(np.float64)) for logits in rows]
    null = min(nulls, key=lambda one: one[0] * one[1])
    total = (sum(starts.values()) + null[0]) * (sum(ends.values()) + null[1])
    by_text: dict[str, float] = {}
    for (first, last), weight in spans.items():
        text = " ".join(words[first : last + 1])
        by_text[text] = by_text.get(text, 0.0) + weight / total
    if none:
        by_text[""] = null[0] * null[1] / total
    got = {one.answer: one.score for one in found}
    assert got.keys() == by_text.keys()
    for text, score in by_text.items():
        assert got[text] == pytest.approx(score, rel=1e-9)
    assert all(asked.context[one.start : one.end] == one.answer for one in found)


def test_what_is_empty() -> None:
    task = QuestionAnswering(EncoderTexts(tokenizer(), 40))
    for asked, name in ((Question("", "a"), "question"), (Question("a", "  "), "context")):
        with pytest.raises(ParameterError, match=name):
            task.inputs(asked)


def test_a_long_question_is_cut() -> None:
    task = QuestionAnswering(EncoderTexts(tokenizer(), 40), AnswerOptions(most_of_question=2))
    assert task.inputs(Question("a b c d", "e"))[0].tokens == (2, 4, 5, 3, 8, 3)
