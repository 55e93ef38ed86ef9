"""A question and a text to the parts of the text that answer it, by a head that scores where answers start and end.

Long texts are read in windows that overlap, the question before each. Probabilities go over all windows together, so
that answers of different windows compare: an answer is counted in the window that owns its first token, and what stands
for "no answer" is the first row of the window that believes in it least. In one window this is what transformers 4 does
(its pipeline for this task ended with version 5). Places are characters of the text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from honed.backends.encoder import Output
from honed.errors import ParameterError
from honed.records import dataclass
from honed.tasks.task import Rows, Scores
from honed.text.encoder_input import EncoderInput, EncoderTexts, TextWindow


@dataclass(frozen=True)
class Question:
    """What is asked, and the text that may answer it."""

    question: str
    context: str


@dataclass(frozen=True)
class Answer:
    """A part of the context, from start to end in characters, and its probability. No answer: an empty one at 0."""

    score: float
    start: int
    end: int
    answer: str


@dataclass(frozen=True)
class AnswerOptions:
    """most: answers. window: tokens of question and text that are read at once, stride: those that windows have in
    common (None: 128, or half a window). most_of_question: tokens of the question that are kept. longest: tokens of an
    answer. may_be_none: whether "no answer" is one. whole_words: answers end where words do."""

    most: int = 1
    window: int = 384
    stride: int | None = None
    most_of_question: int = 64
    longest: int = 15
    may_be_none: bool = False
    whole_words: bool = True


_AS_USUAL = AnswerOptions()


class QuestionAnswering:
    """Implements `EncoderTask`: `Question` to its best answers, the best first."""

    output: Output = "tags"

    def __init__(self, texts: EncoderTexts, options: AnswerOptions = _AS_USUAL) -> None:
        self._texts = texts
        self._options = options

    def inputs(self, given: Question) -> Sequence[TextWindow]:
        """The windows of the context. An empty question or context: ParameterError."""
        texts: dict[str, object] = {"question": given.question, "context": given.context}
        for name, text in texts.items():
            if not isinstance(text, str) or not text.strip():
                raise ParameterError(name, text, "must be a text that is not empty")
        options = self._options
        return self._texts.windows_behind(
            given.question, given.context, options.stride, options.window, options.most_of_question
        )

    def kept(self, given: EncoderInput) -> None:
        return None

    def result(self, given: Question, inputs: Sequence[EncoderInput], rows: Sequence[Rows]) -> list[Answer]:
        windows = [window for window in inputs if isinstance(window, TextWindow)]
        starts, ends = (_Weights(windows, [row[:, side] for row in rows]) for side in (0, 1))
        # The null of both sides is that of one window.
        null = min(range(len(windows)), key=lambda index: starts.null(index) + ends.null(index))
        total = starts.total(null) * ends.total(null)
        options = self._options
        most = options.most * 2 + 10 if options.whole_words else options.most  # several may be of the same words
        found: dict[str, Answer] = {}
        for score, index, first, last in self._best(windows, starts, ends, most):
            begin, end = self._place(windows[index], first, last)
            text = given.context[begin:end]
            before = found.get(text.lower())
            if before is None:
                found[text.lower()] = Answer(score / total, begin, end, text)
            else:
                found[text.lower()] = Answer(before.score + score / total, before.start, before.end, before.answer)
        answers = list(found.values())
        if options.may_be_none:
            answers.append(Answer(starts.of_null(null) * ends.of_null(null) / total, 0, 0, ""))
        return sorted(answers, key=lambda answer: -answer.score)[: options.most]

    def _best(
        self, windows: Sequence[TextWindow], starts: _Weights, ends: _Weights, most: int
    ) -> list[tuple[float, int, int, int]]:
        """Score, window, first and last row of the best spans of all windows, the best first."""
        found: list[tuple[float, int, int, int]] = []
        for index, window in enumerate(windows):
            begin, end = window.own
            last = max((row for row, span in enumerate(window.spans) if span is not None), default=-1) + 1
            if end == begin:
                continue
            one, two = starts.inside(index)[begin:end], ends.inside(index)[begin:last]
            spans = np.tril(np.triu(np.outer(one, two)), self._options.longest - 1)
            count = min(most, spans.size)
            places = np.argpartition(-spans, count - 1, axis=None)[:count]
            for place in places.tolist():
                row, column = divmod(place, len(two))
                if row <= column < row + self._options.longest:
                    found.append((float(spans[row, column]), index, begin + row, begin + column))
        return sorted(found, key=lambda one: (-one[0], *one[1:]))[:most]

    def _place(self, window: TextWindow, first: int, last: int) -> tuple[int, int]:
        """Characters of a span of rows."""
        if self._options.whole_words:
            words = window.words
            while first > 0 and words[first - 1] is not None and words[first - 1] == words[first]:
                first -= 1
            while last + 1 < len(words) and words[last + 1] is not None and words[last + 1] == words[last]:
                last += 1
        one, two = window.spans[first], window.spans[last]
        assert one is not None and two is not None
        return one[0], two[1]


class _Weights:
    """Powers of the scores of one side, starts or ends, of all windows under one maximum."""

    def __init__(self, windows: Sequence[TextWindow], logits: Sequence[Rows]) -> None:
        masked = []
        for window, given in zip(windows, logits, strict=True):
            scores = np.full(len(given), -np.inf)
            for row, span in enumerate(window.spans):
                if span is not None:
                    scores[row] = given[row]
            masked.append(scores)
        self._nulls = [float(given[0]) for given in logits]
        self._own = [slice(*window.own) for window in windows]
        most = max([*self._nulls, *(float(scores.max()) for scores in masked)])
        self._most = most
        self._powers = [np.exp(scores - most) for scores in masked]

    def inside(self, index: int) -> Scores:
        """Of the rows of a window; 0 where no answer can be."""
        return self._powers[index]

    def null(self, index: int) -> float:
        """The score of no answer, as the head gives it."""
        return self._nulls[index]

    def of_null(self, index: int) -> float:
        return float(np.exp(self._nulls[index] - self._most))

    def total(self, null: int) -> float:
        """Of every token once, and of no answer once."""
        return self.of_null(null) + sum(
            float(powers[own].sum()) for powers, own in zip(self._powers, self._own, strict=True)
        )
