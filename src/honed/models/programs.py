"""The programs that models offer, made of what a model file writes.

What a program gives is named here, once for all families. Not here: recording them (`recorded.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import get_args

from honed.ops.record import Node, Program, Recorder
from honed.ops.values import Pooling

STEP = "step"
ENCODE = "encode"
LOGITS = "logits"
HIDDEN = "hidden"
POOLER = "pooler"
CLASSES = "classes"
TAGS = "tags"
VOCABULARY = "vocabulary"
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)


def step(forward: Callable[[Recorder], Node]) -> Mapping[str, Program]:
    """Of a decoder: `forward` gives the logits [R, vocabulary] of the selected rows."""
    return {STEP: lambda ops: {LOGITS: forward(ops)}}


def encode(
    hidden: Callable[[Recorder], Node],
    pooler: Callable[[Recorder, Node], Node] | None = None,
    head: Callable[[Recorder, Mapping[str, Node]], Mapping[str, Node]] | None = None,
) -> Mapping[str, Program]:
    """Of an encoder: `hidden` gives a row for each token, `pooler` makes one for each sequence of those.

    `head` makes of all of these what a checkpoint was trained for: classes [S, labels], tags [T, labels], or, of the
    rows that are selected, a vocabulary [R, tokens].

    Any encoder can be asked for a sequence's mean, first or last row too: what is not asked for is not computed.
    """

    def program(ops: Recorder) -> Mapping[str, Node]:
        rows = hidden(ops)
        given: dict[str, Node] = {HIDDEN: rows} | {pooling: ops.pool(rows, pooling) for pooling in POOLINGS}
        if pooler is not None:
            given |= {POOLER: pooler(ops, rows)}
        return given if head is None else {**given, **head(ops, given)}

    return {ENCODE: program}
