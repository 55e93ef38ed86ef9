"""Inputs as people also write them: with typos, in another case, with other spaces, contracted or in other words.

What a text means stays, so that a model which answers otherwise is wrong on one of both. Letters are changed in any
script, contractions are English. Not here: changes that are searched for a model's weakness (`attack.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from honed.evaluate.examples import Example, make_example
from honed.evaluate.task_file import PARAPHRASE, TaskFile

ROLES: Mapping[str, tuple[str, ...]] = {
    "text-classification": ("text", "text_pair"),
    "token-classification": ("tokens",),
    "question-answering": ("question",),
    "similarity": ("text", "text_pair"),
    "ranking": ("query",),
}
"""What is changed of an example, by the kind of its task."""

_TYPO_SHARE = 0.15
"""Of the words of four letters and more; one at least."""
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_CONTRACTED = {
    "is not": "isn't", "are not": "aren't", "was not": "wasn't", "were not": "weren't", "do not": "don't",
    "does not": "doesn't", "did not": "didn't", "has not": "hasn't", "have not": "haven't", "had not": "hadn't",
    "can not": "can't", "cannot": "can't", "could not": "couldn't", "would not": "wouldn't",
    "should not": "shouldn't", "will not": "won't", "it is": "it's", "that is": "that's", "there is": "there's",
    "he is": "he's", "she is": "she's", "i am": "I'm", "you are": "you're", "we are": "we're", "they are": "they're",
    "i have": "I've", "you have": "you've", "we have": "we've", "they have": "they've", "i will": "I'll",
}  # fmt: skip
_LONG = re.compile("|".join(rf"\b{long}\b" for long in sorted(_CONTRACTED, key=len, reverse=True)), re.IGNORECASE)
_SHORT = re.compile(
    "|".join(rf"\b{re.escape(short)}(?!\w)" for short in sorted(set(_CONTRACTED.values()), key=len, reverse=True)),
    re.IGNORECASE,
)
_EXPANDED = {short.lower(): long for long, short in reversed(list(_CONTRACTED.items()))}


def typos(text: str, random: Random) -> str:
    """Some words with two letters swapped, one left out, doubled, or replaced by its neighbour on a keyboard."""
    parts = re.split(r"(\s+)", text)
    long = [i for i, part in enumerate(parts) if sum(map(str.isalpha, part)) >= 4]
    chosen = [i for i in long if random.random() < _TYPO_SHARE] or ([random.choice(long)] if long else [])
    for i in chosen:
        parts[i] = mistyped(parts[i], random)
    return "".join(parts)


def mistyped(word: str, random: Random) -> str:
    """One word with one typo behind its first letter; as it is if it has no three letters."""
    places = [i for i, letter in enumerate(word) if letter.isalpha()][1:]
    if len(places) < 2:
        return word
    i = random.choice(places[:-1])
    match random.randrange(4):
        case 0:
            return word[:i] + word[i + 1 : i + 2] + word[i] + word[i + 2 :]
        case 1:
            return word[:i] + word[i + 1 :]
        case 2:
            return word[:i] + word[i] + word[i:]
        case _:
            return word[:i] + _neighbour(word[i], random) + word[i + 1 :]


def spaces(text: str, random: Random) -> str:
    """Doubled spaces, line ends for spaces, and spaces around the whole."""
    parts = [random.choice((" ", "  ", "\n", " \t")) if part.isspace() else part for part in re.split(r"(\s+)", text)]
    return "  " + "".join(parts) + " \n"


def contracted(text: str, random: Random) -> str:
    """English contractions where there are long forms, and long forms where there are contractions."""
    found = _LONG.search(text)
    if found:
        return _LONG.sub(lambda match: _cased(match[0], _CONTRACTED[match[0].lower()]), text)
    return _SHORT.sub(lambda match: _cased(match[0], _EXPANDED[match[0].lower()]), text)


Change = Callable[[str, Random], str]
KINDS: Mapping[str, Change] = {
    "typos": typos,
    "upper case": lambda text, random: text.upper(),
    "lower case": lambda text, random: text.lower(),
    "spaces": spaces,
    "contractions": contracted,
}
_OF_WORDS = ("typos", "upper case", "lower case")
"""What may be done to words that stand apart, one by one."""


def perturbed(task: TaskFile, examples: Sequence[Example]) -> dict[str, list[Example]]:
    """The same examples, changed in each way that the task allows, by its name. Each change depends on the seed, the
    row and its kind alone."""
    found = {}
    for kind, change in KINDS.items():
        if task.task != "token-classification" or kind in _OF_WORDS:
            found[kind] = [_changed(task, example, kind, change) for example in examples]
    if PARAPHRASE in task.fields:
        found[PARAPHRASE] = [_paraphrased(task, example) for example in examples]
    return found


def _changed(task: TaskFile, example: Example, kind: str, change: Change) -> Example:
    random = Random(f"{task.seed} {example.row} {kind}")
    columns: dict[str, Any] = dict(example.columns)
    for role in ROLES[task.task]:
        value = example.inputs.get(role)
        if isinstance(value, str):
            columns[task.column(role)] = change(value, random)
        elif value is not None:
            columns[task.column(role)] = [_word(kind, word, random) for word in value]
    return make_example(task, example.row, columns)


def _word(kind: str, word: str, random: Random) -> str:
    if kind != "typos":
        return KINDS[kind](word, random)
    return mistyped(word, random) if len(word) >= 4 and random.random() < _TYPO_SHARE else word


def _paraphrased(task: TaskFile, example: Example) -> Example:
    role = ROLES[task.task][0]
    said = example.columns.get(task.column(PARAPHRASE))
    return make_example(task, example.row, {**example.columns, task.column(role): said})


def _neighbour(letter: str, random: Random) -> str:
    for row in _ROWS:
        place = row.find(letter.lower())
        if place >= 0:
            near = row[max(0, place - 1) : place] + row[place + 1 : place + 2]
            found = random.choice(near)
            return found.upper() if letter.isupper() else found
    return letter + letter  # not on this keyboard


def _cased(before: str, after: str) -> str:
    return after[0].upper() + after[1:] if before[0].isupper() else after
