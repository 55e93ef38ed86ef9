"""Metrics of tagged words: entities as a whole, and tags one by one, "O" among them.

Which words are an entity is read from tags of IOB2 or BIOES: strictly, so that a sequence the scheme does not allow
holds none, or as the CoNLL evaluation reads any sequence (Tjong Kim Sang and De Meulder 2003). Both are seqeval's,
which the tests hold them to. An entity counts if its type and both of its ends are right. Not here: averages over types
(`averages.py`), and from tokens to words (`tasks/`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from honed.errors import HonedError
from honed.evaluate.metrics.averages import AVERAGES, PARTS, Average, LabelRow, Part, averaged, label_rows
from honed.evaluate.metrics.base import Bool, Float64, Measured, Metric, MetricOptions, additive, counted, ratio
from honed.parameters import choice

SCHEMES = ("iob2", "bioes")
OUTSIDE = "O"
_UNNAMED = "_"
"""The type of a tag that names none."""

Tags = Sequence[Sequence[str]]


class Entity(NamedTuple):
    """kind: its type. start, stop: its words, the end not included."""

    kind: str
    start: int
    stop: int


def entities(tags: Sequence[str], scheme: str | None = None) -> list[Entity]:
    """The entities of a sequence in order. scheme: iob2 or bioes reads strictly, None as the CoNLL evaluation does."""
    cut = [_cut(tag) for tag in tags]
    if scheme is None:
        return list(_lenient(cut))
    choice("scheme", scheme, SCHEMES)
    return list(_strict(cut, bioes=scheme == "bioes"))


def entity_report(references: Tags, predictions: Tags, scheme: str | None = None) -> list[LabelRow]:
    """Precision, recall and F1 of each type of entities, and their averages."""
    parts, kinds = _entity_parts(references, predictions, scheme)
    return label_rows(parts, kinds)


def tag_report(references: Tags, predictions: Tags) -> list[LabelRow]:
    """The same of each tag, "O" included, word by word."""
    parts, names = _tag_parts(references, predictions)
    return label_rows(parts, names)


def _cut(tag: str) -> tuple[str, str]:
    """Prefix and type: B-PER is B and PER; a tag without a prefix of one letter is its first letter and the rest."""
    return tag[:1] or OUTSIDE, tag[1:].split("-", 1)[-1] or _UNNAMED


def _lenient(cut: Sequence[tuple[str, str]]) -> Iterator[Entity]:
    before, kind_before = OUTSIDE, ""
    start = 0
    for place, (prefix, kind) in enumerate([*cut, (OUTSIDE, "")]):
        other = kind != kind_before
        if before in "ES" or (before in "BI" and prefix in "BSO") or (before not in "O." and other):
            yield Entity(kind_before, start, place)
        if prefix in "BS" or (before in "ESO" and prefix in "EI") or (prefix not in "O." and other):
            start = place
        before, kind_before = prefix, kind


def _strict(cut: Sequence[tuple[str, str]], *, bioes: bool) -> Iterator[Entity]:
    place = 0
    while place < len(cut):
        prefix, kind = cut[place]
        start = place
        place += 1
        if bioes and prefix == "S":
            yield Entity(kind, start, place)
            continue
        if prefix != "B":
            continue
        while place < len(cut) and cut[place] == ("I", kind):
            place += 1
        if not bioes:
            yield Entity(kind, start, place)
        elif place < len(cut) and cut[place] == ("E", kind):
            place += 1
            yield Entity(kind, start, place)


def _paired(references: Tags, predictions: Tags) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
    for number, (true, found) in enumerate(zip(references, predictions, strict=True), 1):
        if len(true) != len(found):
            raise HonedError(f"example {number}: has {len(true)} tags and {len(found)} predicted ones; must be as many")
        yield true, found


def _entity_parts(references: Tags, predictions: Tags, scheme: str | None) -> tuple[Float64, list[str]]:
    right: list[Counter[str]] = []
    predicted: list[Counter[str]] = []
    true: list[Counter[str]] = []
    for expected, found in _paired(references, predictions):
        theirs, ours = set(entities(expected, scheme)), set(entities(found, scheme))
        right.append(Counter(entity.kind for entity in ours & theirs))
        predicted.append(Counter(entity.kind for entity in ours))
        true.append(Counter(entity.kind for entity in theirs))
    kinds = sorted({kind for counts in (*predicted, *true) for kind in counts})
    return np.concatenate([counted(part, kinds) for part in (right, predicted, true)], axis=1), kinds


def _tag_parts(references: Tags, predictions: Tags) -> tuple[Float64, list[str]]:
    pairs = list(_paired(references, predictions))
    names = sorted({tag for pair in pairs for tags in pair for tag in tags})
    right = [Counter(a for a, b in zip(true, found, strict=True) if a == b) for true, found in pairs]
    predicted = [Counter(found) for _, found in pairs]
    true = [Counter(expected) for expected, _ in pairs]
    return np.concatenate([counted(part, names) for part in (right, predicted, true)], axis=1), names


def _each(parts: Float64) -> tuple[Float64, Bool]:
    """F1 of each sentence, all labels together, 1 where there is nothing to find and nothing was found; and whether it
    is all right."""
    right, predicted, true = (part.sum(axis=1) for part in np.split(parts, 3, axis=1))
    return ratio(2 * right, predicted + true, 1.0), (right == predicted) & (right == true)


def _of_entities(part: Part, average: Average) -> Metric:
    def measure(references: Tags, predictions: Tags, options: MetricOptions) -> Measured:
        parts, _ = _entity_parts(references, predictions, options.scheme)
        return additive(parts, averaged(part, average), *_each(parts))

    return Metric(f"entity_{part}_{average}", measure)


def _of_tags(part: Part, average: Average) -> Metric:
    def measure(references: Tags, predictions: Tags, options: MetricOptions) -> Measured:
        parts, _ = _tag_parts(references, predictions)
        return additive(parts, averaged(part, average), *_each(parts))

    return Metric(f"tag_{part}_{average}", measure)


METRICS = (
    *(_of_entities(part, average) for part in PARTS for average in AVERAGES),
    *(_of_tags(part, average) for part in PARTS for average in AVERAGES),
)
