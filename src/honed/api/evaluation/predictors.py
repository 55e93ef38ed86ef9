"""Models asked about the examples of a task: what goes in is an example, what comes out is what the task's metrics
take.

Encoders answer with their vectors, or with what their head was trained for; models that generate are given the task's
prompt. Not here: text that is predicted token by token, for which both models run side by side (`language.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from honed.api.embed import TextEncoder
from honed.api.evaluation.language import Report, predict_document
from honed.api.language_model import LanguageModel
from honed.api.load import load
from honed.backends.options import RunOptions
from honed.errors import ParameterError, UnsupportedError
from honed.evaluate.examples import Example, filled
from honed.evaluate.likelihood import Scorer
from honed.evaluate.metrics.classification import Classified
from honed.evaluate.metrics.sequences import OUTSIDE
from honed.evaluate.sandbox import Limits, run_programs
from honed.evaluate.task_file import TaskFile
from honed.notes import note
from honed.tasks.question_answering import AnswerOptions, Question
from honed.tasks.token_classification import TaggedToken

_STEP = 32
"""Examples that are asked together, between two reports."""


class Asked(Protocol):
    """A loaded model that answers examples of one task."""

    @property
    def model(self) -> TextEncoder | LanguageModel:
        """As `honed.load` gives it."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What it may say of a text or a word; nothing of tasks without labels."""

    def predict(self, examples: Sequence[Example], report: Report) -> list[Any]:
        """A prediction for each example, in the type of the task's metrics."""

    def close(self) -> None:
        """Lets the model go."""


class _Stepwise:
    """Asks some examples at a time."""

    def __init__(
        self,
        model: TextEncoder | LanguageModel,
        answer: Callable[[Sequence[Example]], list[Any]],
        labels: tuple[str, ...] = (),
    ) -> None:
        self._model = model
        self._answer = answer
        self.labels = labels

    @property
    def model(self) -> TextEncoder | LanguageModel:
        return self._model

    def predict(self, examples: Sequence[Example], report: Report) -> list[Any]:
        found: list[Any] = []
        for first in range(0, len(examples), _STEP):
            found += self._answer(examples[first : first + _STEP])
            report(len(found), len(examples))
        return found

    def close(self) -> None:
        self._model.close()


def ask(task: TaskFile, name: str | Path, run: RunOptions) -> Asked:
    """Loads the model of that name for a task. UnsupportedError where it is of a kind that has no answer to it."""
    model = load(name, run)
    try:
        if isinstance(model, LanguageModel):
            return _Stepwise(model, _of_language_model(task, model), tuple(task.labels.values()))
        names = () if model.labels is None or model.labels.kind == "spans" else model.labels.names
        return _Stepwise(model, _of_encoder(task, model), names)
    except BaseException:
        model.close()
        raise


def check_labels(task: TaskFile, asked: Asked, examples: Sequence[Example]) -> None:
    """ParameterError where the model knows none of the data's labels, so that all would be wrong, and a note where it
    does not know some: data and models call the same thing by different names more often than not."""
    if task.task not in ("text-classification", "token-classification") or not asked.labels:
        return
    found = {label for example in examples for label in example.reference} - {OUTSIDE}
    unknown = sorted(found - set(asked.labels))
    if not unknown:
        return
    known = ", ".join(asked.labels[:12])
    if set(unknown) == found:
        raise ParameterError(
            "labels",
            ", ".join(unknown[:12]),
            f"are no labels of {asked.model.name}, which says {known}; say under labels which is which, for instance "
            f"labels: {{{unknown[0]!r}: {asked.labels[0]}}}",
        )
    note(f"{asked.model.name} never says {', '.join(unknown[:12])}, which the data has; it says {known}")


def _of_language_model(task: TaskFile, model: LanguageModel) -> Callable[[Sequence[Example]], list[Any]]:
    match task.task:
        case "generation" | "question-answering":
            return lambda examples: [texts[0] for texts in _replies(task, model, examples)]
        case "code":
            return lambda examples: _outcomes(task, _replies(task, model, examples), examples)
        case "language-modelling":
            return lambda examples: [predict_document(model, None, example)[0] for example in examples]
        case "text-classification":
            if task.prompt is None or len(task.labels) < 2:
                raise ParameterError(
                    "prompt",
                    task.prompt,
                    f"must be there, and at least two labels, for {model.name}, which generates: each label is scored "
                    "as what follows the prompt",
                )
            scorer = Scorer(model.backend)
            return lambda examples: [_chosen(task, model, scorer, example) for example in examples]
        case _:
            raise UnsupportedError(f"{model.name} generates text; {task.task} needs an encoder, for instance minilm")


def _of_encoder(task: TaskFile, model: TextEncoder) -> Callable[[Sequence[Example]], list[Any]]:
    match task.task:
        case "similarity":
            return lambda examples: _cosines(model, examples)
        case "ranking":
            return lambda examples: [
                model.relevance(example.inputs["query"], example.inputs["candidates"]) for example in examples
            ]
        case "text-classification":
            model.tasks.text_classification()  # a model without such a head says so
            return lambda examples: _classified(model, examples)
        case "token-classification":
            model.tasks.token_classification()
            return lambda examples: _tagged(model, examples)
        case "question-answering":
            options = AnswerOptions(may_be_none=True)
            model.tasks.question_answering(options)
            return lambda examples: _answers(model, options, examples)
        case _:
            raise UnsupportedError(f"{model.name} is an encoder; {task.task} needs a model that generates")


def _classified(model: TextEncoder, examples: Sequence[Example]) -> list[Classified]:
    labels = model.labels
    assert labels is not None
    if labels.problem == "regression":
        raise UnsupportedError(f"{model.name} gives texts values and no labels; similarity is a task of values")
    given: list[Any] = [
        (example.inputs["text"], example.inputs["text_pair"])
        if "text_pair" in example.inputs
        else example.inputs["text"]
        for example in examples
    ]
    several = labels.problem == "multi_label_classification"
    found = []
    for ranked in model.classify(given):
        scores = {label.label: float(label.score) for label in ranked}
        chosen = [label for label, score in scores.items() if score > 0.5] if several else [ranked[0].label]
        found.append(Classified(tuple(sorted(chosen)), scores))
    return found


def _tagged(model: TextEncoder, examples: Sequence[Example]) -> list[list[str]]:
    """The tag of each word is that of its first token, as models are trained; of a word that has none, outside."""
    texts = [" ".join(example.inputs["tokens"]) for example in examples]
    found = []
    for example, tokens in zip(
        examples, model.run(model.tasks.token_classification("none", ignored=()), texts), strict=True
    ):
        starts = np.cumsum([0, *(len(word) + 1 for word in example.inputs["tokens"])])
        tags = [OUTSIDE] * len(example.inputs["tokens"])
        last = -1
        for token in tokens:
            word = int(np.searchsorted(starts, token.start, side="right")) - 1
            if isinstance(token, TaggedToken) and last < word < len(tags):
                tags[word] = token.entity
                last = word
        found.append(tags)
    return found


def _answers(model: TextEncoder, options: AnswerOptions, examples: Sequence[Example]) -> list[str]:
    asked = [Question(example.inputs["question"], example.inputs["context"]) for example in examples]
    task = model.tasks.question_answering(options)
    return [answers[0].answer if answers else "" for answers in model.run(task, asked)]


def _replies(task: TaskFile, model: LanguageModel, examples: Sequence[Example]) -> list[list[str]]:
    """The texts of all samples of each example."""
    prompts: list[Any] = []
    for example in examples:
        text = example.prompt if example.prompt is not None else _usual_prompt(task, example)
        prompts += [[{"role": "user", "content": text}] if task.chat else text] * task.samples
    given: dict[str, Any] = {"max_tokens": task.max_tokens, "temperature": task.temperature, "stop": task.stop}
    if task.temperature == 0:
        texts = [found.text for found in model.generate_batch(prompts, **given)]
    else:
        # Samples of one prompt differ by their seeds, which do not depend on what is asked beside them.
        seeds = [(task.seed + i % task.samples) % 2**63 for i in range(len(prompts))]
        streams = [model.stream(prompt, **given, seed=seed) for prompt, seed in zip(prompts, seeds, strict=True)]
        texts = [stream.finish().text for stream in streams]
    return [texts[i : i + task.samples] for i in range(0, len(texts), task.samples)]


def _usual_prompt(task: TaskFile, example: Example) -> str:
    if task.task == "question-answering":
        return f"{example.inputs['context']}\n\nQuestion: {example.inputs['question']}\nAnswer:"
    return str(example.inputs["prompt"])


def _outcomes(task: TaskFile, replies: list[list[str]], examples: Sequence[Example]) -> list[list[bool]]:
    """Whether each sample passes its tests."""
    sources = []
    for example, texts in zip(examples, replies, strict=True):
        for text in texts:
            columns = {**example.columns, **example.inputs, "tests": example.reference, "completion": text}
            sources.append(filled(task.program, columns, f"row {example.row}: program"))
    limits = Limits(seconds=task.options.seconds, network=task.options.network)
    passed = [outcome.passed for outcome in run_programs(sources, limits)]
    return [passed[i : i + task.samples] for i in range(0, len(passed), task.samples)]


def _chosen(task: TaskFile, model: LanguageModel, scorer: Scorer, example: Example) -> Classified:
    """The label whose text is the most likely continuation of the prompt; probabilities are among the labels."""
    assert example.prompt is not None
    given: Any = [{"role": "user", "content": example.prompt}] if task.chat else example.prompt
    prompt = model.encode(given)
    labels = list(dict.fromkeys(task.labels.values()))
    # A word that follows one has its space in its own token.
    space = "" if task.chat or example.prompt[-1:].isspace() else " "
    scores = np.array(
        [scorer.score(prompt, model.tokenizer.encode(space + label, add_special=False)).logprob for label in labels]
    )
    weights = np.exp(scores - scores.max())
    shares = (weights / weights.sum()).tolist()
    return Classified((labels[int(scores.argmax())],), dict(zip(labels, shares, strict=True)))


def _cosines(model: TextEncoder, examples: Sequence[Example]) -> list[float]:
    texts = [example.inputs[role] for role in ("text", "text_pair") for example in examples]
    rows = model.embed(texts, normalize=True).astype(np.float64)
    found: list[float] = np.einsum("nw,nw->n", rows[: len(examples)], rows[len(examples) :]).tolist()
    return found
