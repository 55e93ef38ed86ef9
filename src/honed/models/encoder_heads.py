"""Heads of encoders: what a checkpoint was trained to say of a text beside its rows, and which of them it has.

A head is named by `architectures` of a config, as transformers does: classes of a text, tags of its tokens, the ends
of an answer (tags too, start and end), tokens of the vocabulary. Families differ in what their heads are called and
made of, which their files say with the pieces here. Not here: heads that the weights do not have, though the config
names one (`checkpoints/huggingface/encoder_head.py`), and what results mean (`checkpoints/huggingface/labels.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from honed.errors import UnsupportedError
from honed.models.base import Config
from honed.models.config import Fields
from honed.models.layers import project
from honed.models.programs import CLASSES, TAGS, VOCABULARY
from honed.ops.record import Node, Recorder
from honed.ops.values import Activation, Weight
from honed.records import dataclass

HeadKind = Literal["classes", "tags", "spans", "vocabulary"]
ENDINGS: Mapping[str, HeadKind] = {
    "ForSequenceClassification": "classes",
    "ForTokenClassification": "tags",
    "ForQuestionAnswering": "spans",
    "ForMaskedLM": "vocabulary",
}
"""How the name of a class of transformers ends, and the head that it has. Others have none that is known here."""
RESULTS: Mapping[HeadKind, str] = {"classes": CLASSES, "tags": TAGS, "spans": TAGS, "vocabulary": VOCABULARY}
"""The result of the program `encode` that a head gives."""
MAX_LABELS = 1 << 16
SPAN_ENDS = 2


@dataclass(frozen=True)
class Head:
    """labels: columns of what it gives; of a vocabulary its tokens. tied: a vocabulary is multiplied with the table."""

    kind: HeadKind
    labels: int
    tied: bool = False

    @property
    def result(self) -> str:
        return RESULTS[self.kind]


def head_kind(config: Config) -> HeadKind | None:
    """The head that a config names, whatever the weights beside it; None for one that is not known, or for none."""
    named = config.get("architectures")
    first = named[0] if isinstance(named, list | tuple) and named else None
    if not isinstance(first, str):
        return None
    return next((kind for ending, kind in ENDINGS.items() if first.endswith(ending)), None)


def class_with_head(class_name: str, kind: HeadKind) -> str:
    """The class of transformers of a family, by that of its base model, with a head."""
    ending = next(ending for ending, named in ENDINGS.items() if named == kind)
    return class_name.removesuffix("Model") + ending


def read_head(fields: Fields, vocabulary: int) -> Head | None:
    """The head that a config names. Errors: FormatError for labels that are not numbered from 0 on without a gap,
    UnsupportedError for answers that have other than two ends."""
    kind = head_kind(fields.values)
    if kind is None:
        return None
    if kind == "vocabulary":
        return Head(kind, vocabulary, fields.boolean("tie_word_embeddings", default=True))
    labels = len(label_names(fields))
    if kind == "spans" and labels != SPAN_ENDS:
        raise UnsupportedError(
            f"{fields.source}: id2label has {labels} labels for a head that answers questions; supported are "
            f"{SPAN_ENDS}, the start and the end of an answer"
        )
    return Head(kind, labels)


def label_names(fields: Fields) -> tuple[str, ...]:
    """What a config calls its labels, by their ids: `id2label`, else LABEL_0 and so on, `num_labels` of them or two, as
    transformers has it. FormatError for ids that are no numbers, or have a gap, and names that are no text."""
    named = fields.nested("id2label")
    if named is None or not named.values:
        return tuple(f"LABEL_{number}" for number in range(fields.integer("num_labels", 1, MAX_LABELS, default=2)))
    count = len(named.values)
    if count > MAX_LABELS:
        raise fields.wrong("id2label", f"must have at most {MAX_LABELS} labels")
    missing = next((number for number in range(count) if str(number) not in named.values), None)
    if missing is not None:
        raise fields.wrong("id2label", f"must have ids from 0 to {count - 1} for {count} labels, and has no {missing}")
    return tuple(named.text(str(number)) for number in range(count))


def outputs(ops: Recorder, x: Node, name: str, head: Head, width: int) -> Node:
    """The last layer of a head: a value for each label."""
    return project(ops, x, name, inputs=width, outputs=head.labels, bias=True)


def decoder(ops: Recorder, x: Node, matrix: Weight, bias: str | None) -> Node:
    """The last layer of a masked language model, of rows that are transformed. bias: its name, None for no bias."""
    return ops.linear(x, matrix, None if bias is None else Weight(bias, matrix.shape[:1]))


def decoder_matrix(head: Head, table: Weight, name: str) -> Weight:
    """The table, or a matrix `name` of its own."""
    return table if head.tied else Weight(f"{name}.weight", table.shape)


def decoder_bias(head: Head, shared: str, name: str) -> str:
    """The bias of a last layer whose matrix is the table stands apart from both; of one with a matrix of its own it is
    that layer's, and the other one is not used."""
    return shared if head.tied else f"{name}.bias"


def activated(ops: Recorder, x: Node, name: str, activation: Activation, width: int, *, bias: bool = True) -> Node:
    """A linear layer as wide as the rows, and what comes behind it."""
    return ops.activate(project(ops, x, name, inputs=width, outputs=width, bias=bias), activation)
