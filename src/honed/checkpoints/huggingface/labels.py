"""What the results of a checkpoint's head mean: the names of its labels, and how a text has them.

Not here: which head a checkpoint has and of what it is made (`models/encoder_heads.py`), and what is made of logits,
which tasks say.
"""

from __future__ import annotations

from typing import Literal, cast, get_args

from honed.checkpoints.base import Checkpoint
from honed.errors import UnsupportedError, quoted
from honed.models.config import Fields
from honed.models.encoder_heads import HeadKind, head_kind, label_names
from honed.models.registry import is_encoder
from honed.records import dataclass

Problem = Literal["single_label_classification", "multi_label_classification", "regression"]
"""By the names of transformers: one label a text (softmax), any number (a sigmoid each), or values as they are."""


@dataclass(frozen=True)
class Labels:
    """kind: of the head. names: by id; none of a vocabulary, whose tokens the tokenizer names. problem: of classes; one
    label of all for tags and the ends of an answer."""

    kind: HeadKind
    names: tuple[str, ...]
    problem: Problem


def read_labels(checkpoint: Checkpoint) -> Labels | None:
    """None where the checkpoint has no head. Errors: FormatError for labels that are not numbered from 0 on without a
    gap, UnsupportedError for another `problem_type`.

    Where a config does not say what its classes are, one label is a value that was regressed, and of several a text has
    one, as transformers has it.
    """
    config, source = checkpoint.config, checkpoint.path
    kind = head_kind(config) if is_encoder(config) else None
    if kind is None:
        return None
    fields = Fields(config, source)
    names = () if kind == "vocabulary" else label_names(fields)
    return Labels(kind, names, _problem(fields, len(names)) if kind == "classes" else "single_label_classification")


def _problem(fields: Fields, labels: int) -> Problem:
    known = get_args(Problem)
    usual = "regression" if labels == 1 else "single_label_classification"
    named = fields.text("problem_type", default=usual)
    if named not in known:
        raise UnsupportedError(
            f"{fields.source}: problem_type {quoted(named)} is not supported; supported are {', '.join(known)}"
        )
    return cast("Problem", named)
