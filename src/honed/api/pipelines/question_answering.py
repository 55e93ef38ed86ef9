"""Answers out of a text, as the pipeline of transformers 4 gave them; version 5 has none for this task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from honed.api.embed import TextEncoder
from honed.api.pipelines.base import EncoderPipeline, records
from honed.errors import ParameterError
from honed.parameters import checks_names, flag, whole_number
from honed.tasks.question_answering import Answer, AnswerOptions, Question


class QuestionAnsweringPipeline(EncoderPipeline):
    """Parts of a text that answer a question."""

    task = "question-answering"

    def check(self, model: TextEncoder) -> None:
        model.tasks.question_answering(AnswerOptions())

    @checks_names
    def call(
        self,
        inputs: Any = None,
        *,
        question: str | Sequence[str] | None = None,
        context: str | Sequence[str] | None = None,
        top_k: int = 1,
        doc_stride: int | None = None,
        max_answer_len: int = 15,
        max_seq_len: int = 384,
        max_question_len: int = 64,
        handle_impossible_answer: bool = False,
        align_to_words: bool = True,
    ) -> Any:
        """A question and its context, by name or as {"question", "context"}, or several: {"score", "start", "end",
        "answer"} of each, a list of them where top_k is over 1 and there are several.

        top_k: answers of a question. doc_stride: tokens that windows of a long context have in common (None: 128, or
        half a window); max_seq_len: tokens of a window, the question included. max_answer_len: tokens of an answer.
        max_question_len: tokens at which a question is cut. handle_impossible_answer: whether an empty answer at 0 is
        one. align_to_words: whether an answer ends where words do. start and end count characters.
        """
        options = AnswerOptions(
            most=whole_number("top_k", top_k, 1),
            window=whole_number("max_seq_len", max_seq_len, 8),
            stride=None if doc_stride is None else whole_number("doc_stride", doc_stride, 0),
            most_of_question=whole_number("max_question_len", max_question_len, 1),
            longest=whole_number("max_answer_len", max_answer_len, 1),
            may_be_none=flag("handle_impossible_answer", handle_impossible_answer),
            whole_words=flag("align_to_words", align_to_words),
        )
        return self.each(self.model.tasks.question_answering(options), _questions(inputs, question, context), _told)


def _told(found: list[Answer]) -> Any:
    answers = records(found)
    return answers[0] if len(answers) == 1 else answers


def _questions(inputs: Any, question: Any, context: Any) -> Any:
    """A `Question`, a list or an iterator of them."""
    if inputs is not None and question is None and context is None:
        if isinstance(inputs, Mapping):
            return _question(inputs)
        if isinstance(inputs, list | tuple):
            return [_question(one) for one in inputs]
        if isinstance(inputs, Iterator):
            return (_question(one) for one in inputs)
        raise ParameterError("inputs", inputs, 'must be {"question": ..., "context": ...}, or a list of these')
    if isinstance(inputs, str) and isinstance(question, str) and context is None:
        inputs, question, context = None, inputs, question
    if inputs is not None or question is None or context is None:
        raise ParameterError("question", question, "must be there with a context, or both in one dictionary")
    if isinstance(question, str) and isinstance(context, str):
        return Question(question, context)
    questions = [question] if isinstance(question, str) else list(question)
    contexts = [context] * len(questions) if isinstance(context, str) else list(context)
    if len(questions) == 1:
        questions *= len(contexts)
    if len(questions) != len(contexts):
        raise ParameterError("question", f"{len(questions)} questions", f"must be as many as contexts: {len(contexts)}")
    return [Question(one, text) for one, text in zip(questions, contexts, strict=True)]


def _question(given: Any) -> Question:
    if not isinstance(given, Mapping) or "question" not in given or "context" not in given:
        raise ParameterError("inputs", given, 'must be {"question": ..., "context": ...}')
    return Question(given["question"], given["context"])
