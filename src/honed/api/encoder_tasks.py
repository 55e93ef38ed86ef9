"""The tasks that an encoder can do, made ready for its tokenizer and head; and what it says where it cannot.

Not here: the tasks themselves (`tasks/`), and running them (`api/task_run.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from honed.checkpoints.huggingface.labels import Labels
from honed.checkpoints.huggingface.scoring import Scoring
from honed.errors import UnsupportedError
from honed.parameters import choice, flag, texts, whole_number
from honed.tasks.fill_mask import FillMask
from honed.tasks.question_answering import AnswerOptions, QuestionAnswering
from honed.tasks.ranking import Ranking
from honed.tasks.task import FUNCTIONS, Function
from honed.tasks.text_classification import TextClassification
from honed.tasks.token_classification import AGGREGATIONS, Aggregation, TokenClassification
from honed.tasks.zero_shot import TEMPLATE, ZeroShot
from honed.text.encoder_input import EncoderTexts
from honed.text.tokenizer import Tokenizer

_HEADS = {
    "classes": "classifies texts",
    "tags": "labels tokens",
    "spans": "answers questions",
    "vocabulary": "fills masks",
}
"""What a model with such a head does."""


class EncoderTasks:
    """Of one encoder. Each method makes a task; UnsupportedError for a head that the model has not, ParameterError for
    settings that are out of range."""

    def __init__(
        self, name: str, texts: EncoderTexts, tokenizer: Tokenizer, labels: Labels | None, scoring: Scoring
    ) -> None:
        self._name = name
        self._texts = texts
        self._tokenizer = tokenizer
        self._labels = labels
        self._scoring = scoring

    @property
    def texts(self) -> EncoderTexts:
        """What makes texts tokens, up to what the model takes."""
        return self._texts

    @property
    def labels(self) -> Labels | None:
        """Of the head; None for a model without one."""
        return self._labels

    def has(self, *kinds: str) -> bool:
        """Whether the head is one of these kinds."""
        return self._labels is not None and self._labels.kind in kinds

    def text_classification(self, function: str | None = None, limit: int | None = None) -> TextClassification:
        """function: softmax, sigmoid or none; None: as the checkpoint was trained. limit: tokens at which texts are
        cut; None: what the model takes."""
        self._head("classes")
        chosen = self._scoring.classes if function is None else choice("function_to_apply", function, FUNCTIONS)
        texts = self._texts if limit is None else self._texts.at_most(whole_number("max_length", limit, 3))
        return TextClassification(texts, cast("Function", chosen))

    def zero_shot(self, template: str = TEMPLATE, *, multi_label: bool = False) -> ZeroShot:
        """Labels that the caller names, by natural-language inference."""
        names = self._head("classes").names
        return ZeroShot(self._texts, names, template=template, multi_label=flag("multi_label", multi_label))

    def ranking(self) -> Ranking:
        """A cross-encoder's scores of pairs."""
        labels = self._head("classes")
        return Ranking(self._texts, len(labels.names), self._scoring.of_ranking(self._name))

    def token_classification(
        self,
        aggregation: str = "none",
        *,
        ignored: Sequence[str] | None = None,
        stride: int | None = None,
    ) -> TokenClassification:
        """aggregation: none, simple, first, average or max. ignored: labels that are not told; None: O."""
        names = self._head("tags").names
        return TokenClassification(
            self._texts,
            self._tokenizer,
            names,
            aggregation=cast("Aggregation", choice("aggregation_strategy", aggregation, AGGREGATIONS)),
            ignored=("O",) if ignored is None else texts("ignore_labels", ignored),
            stride=None if stride is None else whole_number("stride", stride, 0),
        )

    def question_answering(self, options: AnswerOptions) -> QuestionAnswering:
        """Parts of a text that answer a question."""
        self._head("spans")
        return QuestionAnswering(self._texts, options)

    def fill_mask(self, most: int = 5, targets: str | Sequence[str] | None = None) -> FillMask:
        """most: fillings of a mask; targets: those to choose among."""
        self._head("vocabulary")
        among = None if targets is None else texts("targets", targets)
        return FillMask(self._texts, self._tokenizer, most=whole_number("top_k", most, 1), targets=among)

    def _head(self, kind: str) -> Labels:
        if self._labels is not None and self._labels.kind == kind:
            return self._labels
        own = "no head" if self._labels is None else f"a head that {_HEADS[self._labels.kind]}"
        usual = " and gives texts vectors (embed)" if self._labels is None else ""
        raise UnsupportedError(f"{self._name} has {own}{usual}; this needs a model that {_HEADS[kind]}")
