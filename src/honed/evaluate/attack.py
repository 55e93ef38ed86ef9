"""A greedy attack on a classifier: words that carry its decision are replaced, one by one, until it decides otherwise.

A word's weight is what the probability of the right label loses without it; in that order each is replaced by that one
of its candidates which costs the most (in the manner of Jin et al. 2020). Candidates are words of the data that an
encoder finds near, or typos where there is no encoder; a near word may change what a text means, so that the rate of
success is to be read beside that of the reference, which is attacked with the same candidates. Not here: asking models.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from honed.evaluate.examples import Example, make_example
from honed.evaluate.metrics.classification import Classified
from honed.evaluate.perturbations import mistyped
from honed.evaluate.task_file import TaskFile

ATTACKED = 40
"""Examples at most: each takes some fifty answers."""
_WORDS = 4
"""That are replaced at most."""
_CANDIDATES = 8
_VOCABULARY = 3000
_LEAST_COSINE = 0.4
_WORD = re.compile(r"\w{3,}")

Predict = Callable[[Sequence[Example]], Sequence[Classified]]


@dataclass(frozen=True)
class Attack:
    """One attacked example. flipped: whether the decision changed; replaced: how many words; text: what came of it."""

    row: int
    flipped: bool
    replaced: int
    text: str


def frequent_words(texts: Sequence[str]) -> list[str]:
    """The words that replace others, the most frequent ones of the data."""
    counts = Counter(word for text in texts for word in _WORD.findall(text.lower()) if word.isalpha())
    return [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_VOCABULARY]]


def near_words(words: Sequence[str], vectors: NDArray[np.float32]) -> dict[str, list[str]]:
    """The candidates of each word, by vectors [words, width], the nearest first."""
    unit = vectors.astype(np.float64)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-30)
    found = {}
    for i, word in enumerate(words):
        cosines = unit @ unit[i]
        order = np.argsort(-cosines, kind="stable")[: _CANDIDATES + 1].tolist()
        found[word] = [words[j] for j in order if j != i and cosines[j] >= _LEAST_COSINE][:_CANDIDATES]
    return found


def misspelled(words: Sequence[str], seed: int) -> dict[str, list[str]]:
    """Typos as candidates."""
    found = {}
    for word in words:
        random = Random(f"{seed} {word}")
        tried = dict.fromkeys(mistyped(word, random) for _ in range(2 * _CANDIDATES))
        found[word] = [typo for typo in tried if typo != word][:_CANDIDATES]
    return found


def attack(task: TaskFile, example: Example, predict: Predict, candidates: Mapping[str, Sequence[str]]) -> Attack:
    """Attacks one example that the model has right: its `text`, words between spaces."""
    right = example.reference[0]
    words = example.inputs["text"].split(" ")

    def asked(variants: Sequence[Sequence[str]]) -> list[tuple[float, bool]]:
        """The probability of the right label, and whether it is decided for."""
        changed = [with_text(task, example, " ".join(variant)) for variant in variants]
        return [(found.scores.get(right, 0.0), found.labels == (right,)) for found in predict(changed)]

    start, *without = asked([words, *(words[:i] + words[i + 1 :] for i in range(len(words)))])
    order = sorted(range(len(words)), key=lambda i: without[i][0])
    best, replaced = start[0], 0
    for i in order:
        if replaced == _WORDS:
            break
        options = [_like(words[i], option) for option in candidates.get(_bare(words[i]), ())]
        if not options:
            continue
        tried = asked([[*words[:i], option, *words[i + 1 :]] for option in options])
        lowest = min(range(len(tried)), key=lambda j: tried[j][0])
        if tried[lowest][0] >= best:
            continue
        words[i], best = options[lowest], tried[lowest][0]
        replaced += 1
        if not tried[lowest][1]:
            return Attack(example.row, True, replaced, " ".join(words))
    return Attack(example.row, False, replaced, " ".join(words))


def with_text(task: TaskFile, example: Example, text: str) -> Example:
    """The example with another text."""
    return make_example(task, example.row, {**example.columns, task.column("text"): text})


def _bare(word: str) -> str:
    found = _WORD.search(word.lower())
    return found[0] if found else ""


def _like(word: str, option: str) -> str:
    """The option in the place of the word: with what stands around its letters, and its case."""
    found = _WORD.search(word)
    assert found is not None
    shown = option.upper() if found[0].isupper() else option.capitalize() if found[0][0].isupper() else option
    return word[: found.start()] + shown + word[found.end() :]
