"""Labelled texts as a model reads them: names of labels, tokens, and which token a label belongs to.

A word's tag is that of its first token; its other tokens have none. Not here: files (`labelled.py`) and training
(`compress/training/`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from honed.api.labelled import LabelledText, TaggedWords
from honed.compress.training.examples import Example
from honed.errors import ParameterError, quoted
from honed.text.encoder_input import EncoderInput, EncoderTexts
from honed.text.entities import OUTSIDE, are_entities, entity_scores


@dataclass(frozen=True)
class Names:
    """Labels by their numbers, and which number a label of the data has."""

    names: tuple[str, ...]
    numbers: Mapping[str, int]

    def of(self, label: str, where: str) -> int:
        """ParameterError for a label that is not known."""
        if label not in self.numbers:
            known = ", ".join(map(quoted, self.names[:12])) + (", ..." if len(self.names) > 12 else "")
            raise ParameterError(
                f"label of {where}", label, f"must be one of {known}, as the data to train on has them"
            )
        return self.numbers[label]


def choose_names(labels: Iterable[str], known: Sequence[str] | None, asked: Sequence[str] | None) -> Names:
    """The names of the labels of data: those that are asked for, or that the head of the model has already, where the
    data has no others; whole numbers may stand for them. Else those of the data, in order, O first.

    ParameterError for labels that are none of those that are asked for.
    """
    there = sorted(set(labels))
    for names in (asked, known):
        if names is None:
            continue
        numbers = {name: number for number, name in enumerate(names)}
        if all(label in numbers for label in there):
            return Names(tuple(names), numbers)
        digits = {str(number): number for number in range(len(names))}
        if all(label in digits for label in there):
            return Names(tuple(names), digits)
        if names is asked:
            strange = next(label for label in there if label not in numbers and label not in digits)
            raise ParameterError("label names", list(names), f"the data has {quoted(strange)} too")
    numeric = all(label.isdecimal() for label in there)
    ordered = sorted(there, key=lambda label: (label != OUTSIDE, int(label) if numeric else 0, label))
    return Names(tuple(ordered), {name: number for number, name in enumerate(ordered)})


def text_inputs(texts: EncoderTexts, rows: Sequence[LabelledText]) -> list[EncoderInput]:
    """Tokens of each text, cut where it is too long."""
    return [texts.encode(row.text) if row.second is None else texts.encode_pair(row.text, row.second) for row in rows]


def class_examples(
    inputs: Sequence[EncoderInput], rows: Sequence[LabelledText], names: Names, where: str
) -> list[Example]:
    """With the label of each text, or 1 for each label that it has."""
    none = np.zeros(0, np.int32)
    found = []
    for given, row in zip(inputs, rows, strict=True):
        numbers = [names.of(label, where) for label in row.labels]
        targets: NDArray[np.int64] | NDArray[np.float32] = np.array(numbers, np.int64)
        if row.several:
            targets = np.zeros(len(names.names), np.float32)
            targets[numbers] = 1
        found.append(Example(_ids(given.tokens), _ids(given.types), none, targets))
    return found


@dataclass(frozen=True)
class Sentence:
    """A sentence as the model reads it. words: of each word that has a token there, its number and that token's."""

    given: EncoderInput
    words: tuple[tuple[int, int], ...]


def sentences(texts: EncoderTexts, rows: Sequence[TaggedWords]) -> list[Sentence]:
    """Words with a space between them, as one text."""
    return [_sentence(texts, row.words) for row in rows]


def _sentence(texts: EncoderTexts, words: Sequence[str]) -> Sentence:
    text = " ".join(words)
    starts, at = [], 0
    for word in words:
        starts.append(at)
        at += len(word) + 1
    given = texts.encode(text)
    places = np.array(starts)
    first: dict[int, int] = {}
    for token, span in enumerate(given.spans):
        if span is None:
            continue
        begin, end = span
        while begin < end and text[begin].isspace():  # some tokens begin with the space before a word
            begin += 1
        if begin < end:
            first.setdefault(int(np.searchsorted(places, begin, side="right")) - 1, token)
    return Sentence(given, tuple(sorted(first.items())))


def tag_examples(given: Sequence[Sentence], rows: Sequence[TaggedWords], names: Names, where: str) -> list[Example]:
    """With the tag of each word at its first token."""
    found = []
    for sentence, row in zip(given, rows, strict=True):
        tags = [names.of(tag, where) for tag in row.tags]
        places = np.array([token for _, token in sentence.words], np.int32)
        targets = np.array([tags[word] for word, _ in sentence.words], np.int64)
        found.append(Example(_ids(sentence.given.tokens), _ids(sentence.given.types), places, targets))
    return found


def with_rows(example: Example, rows: NDArray[np.float32]) -> Example:
    """With what enters its head, of all tokens or of the text."""
    return replace(example, rows=_of_example(example, rows))


def with_aims(example: Example, logits: NDArray[np.float32]) -> Example:
    """With what a teacher says of all tokens or of the text."""
    return replace(example, aims=_of_example(example, logits))


def _of_example(example: Example, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Those of its places; of a text, which has none, the only one; nothing of a sentence without a labelled token."""
    if len(example.places):
        return np.ascontiguousarray(rows[example.places])
    return np.ascontiguousarray(rows[: min(1, len(example.targets))])


# ---- how good results are


def class_scores(targets: Sequence[int], labels: int, logits: Sequence[NDArray[np.float32]]) -> dict[str, float]:
    """Accuracy, and the mean of the F1 of each label that is there or was said."""
    wanted = np.array(targets)
    said = np.array([int(one[0].argmax()) for one in logits])
    scores = []
    for label in range(labels):
        there, named = wanted == label, said == label
        if there.any() or named.any():
            scores.append(2 * float((there & named).sum()) / float(there.sum() + named.sum()))
    return {"accuracy": float((wanted == said).mean()), "macro F1": float(np.mean(scores))}


def several_scores(targets: Sequence[NDArray[np.float32]], logits: Sequence[NDArray[np.float32]]) -> dict[str, float]:
    """F1 over all labels of all texts, and the share of texts whose labels are all right."""
    wanted, said = np.stack(targets) > 0.5, np.stack([one[0] for one in logits]) > 0
    count = int(wanted.sum() + said.sum())
    return {
        "micro F1": 2 * float((wanted & said).sum()) / count if count else 0.0,
        "all right": float((wanted == said).all(axis=1).mean()),
    }


def tag_scores(
    given: Sequence[Sentence], rows: Sequence[TaggedWords], names: Names, logits: Sequence[NDArray[np.float32]]
) -> dict[str, float]:
    """F1 of entities, where tags are of that form, and the share of words whose tag is right. A word without a token,
    such as one that was cut off, is said to be outside of any entity, or to have the first label."""
    elsewhere = OUTSIDE if OUTSIDE in names.names else names.names[0]
    expected, told = [], []
    for sentence, row, own in zip(given, rows, logits, strict=True):
        said = [elsewhere] * len(row.words)
        for (word, _), best in zip(sentence.words, own.argmax(axis=1).tolist() if len(own) else [], strict=True):
            said[word] = names.names[best]
        told.append(said)
        expected.append([names.names[names.numbers[tag]] for tag in row.tags])
    pairs = [(a, b) for wanted, said in zip(expected, told, strict=True) for a, b in zip(wanted, said, strict=True)]
    accuracy = {"accuracy": sum(a == b for a, b in pairs) / len(pairs)}
    return {**entity_scores(expected, told), **accuracy} if are_entities(names.names) else accuracy


def _ids(values: Sequence[int]) -> NDArray[np.int32]:
    return np.array(values, np.int32)
