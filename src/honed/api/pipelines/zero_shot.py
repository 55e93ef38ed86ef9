"""The pipeline of transformers for labels that the caller names, by a model of natural-language inference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from honed.api.embed import TextEncoder
from honed.api.pipelines.base import EncoderPipeline, Record
from honed.errors import ParameterError
from honed.parameters import checks_names, texts
from honed.tasks.task import order
from honed.tasks.zero_shot import TEMPLATE, Hypotheses, Weighed


class ZeroShotClassificationPipeline(EncoderPipeline):
    """Scores of labels."""

    task = "zero-shot-classification"

    def check(self, model: TextEncoder) -> None:
        model.tasks.zero_shot()

    @checks_names
    def call(
        self,
        sequences: str | Sequence[str] | Iterable[str],
        candidate_labels: str | Sequence[str],
        *,
        hypothesis_template: str = TEMPLATE,
        multi_label: bool = False,
    ) -> Any:
        """A text, or several: {"sequence", "labels", "scores"} of each, the best label first.

        candidate_labels: a list, or names with commas between. hypothesis_template: {} stands for a label. multi_label:
        scores do not come to 1, each label is weighed for itself.
        """
        labels = candidate_names(candidate_labels)
        task = self.model.tasks.zero_shot(hypothesis_template, multi_label=multi_label)
        given: Any = sequences
        if isinstance(given, list | tuple):
            given = [Hypotheses(text, labels) for text in given]
        elif isinstance(given, Iterator):
            given = (Hypotheses(text, labels) for text in given)
        else:
            given = Hypotheses(given, labels)
        return self.each(task, given, _record)


def candidate_names(given: object) -> tuple[str, ...]:
    """Labels as a list, or as one text with commas between. ParameterError where there are none."""
    found = (
        tuple(name for part in given.split(",") if (name := part.strip()))
        if isinstance(given, str)
        else texts("candidate_labels", given)
    )
    if not found:
        raise ParameterError("candidate_labels", given, "must name at least one label")
    return found


def _record(found: Weighed) -> Record:
    places = order(found.scores)
    return {
        "sequence": found.text,
        "labels": [found.labels[place] for place in places],
        "scores": [float(found.scores[place]) for place in places],
    }
