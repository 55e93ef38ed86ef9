"""Texts to scores of labels that the caller names, by a model of natural-language inference: does the text entail that
"This example is LABEL."? (Yin et al. 2019, "Benchmarking Zero-shot Text Classification".)

Every label is a pair with the text, and a text is cut rather than its hypothesis. Not here: labels of a head
(`tasks/text_classification.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from honed.backends.encoder import Output
from honed.errors import ParameterError, UnsupportedError
from honed.records import dataclass
from honed.tasks.task import Rows, Scores, probabilities
from honed.text.encoder_input import EncoderInput, EncoderTexts

TEMPLATE = "This example is {}."


@dataclass(frozen=True)
class Hypotheses:
    """A text and the labels that may be true of it."""

    text: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Weighed:
    """What was given, and a score for each label, in their order."""

    text: str
    labels: tuple[str, ...]
    scores: Scores


class ZeroShot:
    """Implements `EncoderTask`: `Hypotheses` to `Weighed`."""

    output: Output = "classes"

    def __init__(
        self, texts: EncoderTexts, names: Sequence[str], *, template: str = TEMPLATE, multi_label: bool = False
    ) -> None:
        """names: the labels of the head. template: with {} for the label. multi_label: whether labels exclude each
        other, and their scores come to 1, or each is weighed against its contradiction. UnsupportedError for a head
        without a label for entailment, ParameterError for a template without a place."""
        self._texts = texts
        self._template = template
        self._multi_label = multi_label
        self._entailment = entailment(names)
        if filled(template, "a") == filled(template, "b"):
            raise ParameterError("hypothesis_template", template, "must have {} where the label goes")

    def inputs(self, given: Hypotheses) -> Sequence[EncoderInput]:
        """One for each label."""
        if not isinstance(given.text, str):
            raise ParameterError("sequences", given.text, "must be a text, or a list of texts")
        if not given.labels:
            raise ParameterError("candidate_labels", given.labels, "must name at least one label")
        return [self._texts.encode_pair(given.text, filled(self._template, label), "first") for label in given.labels]

    def kept(self, given: EncoderInput) -> None:
        return None

    def result(self, given: Hypotheses, inputs: Sequence[EncoderInput], rows: Sequence[Rows]) -> Weighed:
        return Weighed(given.text, given.labels, self._scores(np.stack(rows)))

    def _scores(self, logits: Rows) -> Scores:
        if self._multi_label or len(logits) == 1:
            contradiction = -1 if self._entailment == 0 else 0
            return probabilities(logits[:, [contradiction, self._entailment]], "softmax")[:, 1]
        return probabilities(logits[:, self._entailment], "softmax")


def entailment(names: Sequence[str]) -> int:
    """The place of the label for entailment. UnsupportedError where none is called so."""
    for place, name in enumerate(names):
        if name.lower().startswith("entail"):
            return place
    shown = ", ".join(names[:8])
    raise UnsupportedError(
        f"zero-shot-classification: none of the labels of the model ({shown}) is called entailment; it needs a model "
        "of natural-language inference"
    )


def filled(template: str, label: str) -> str:
    """A hypothesis. ParameterError for a template that Python cannot fill in."""
    try:
        return template.format(label)
    except (IndexError, KeyError, ValueError, AttributeError):
        raise ParameterError("hypothesis_template", template, "must have {} where the label goes") from None
