"""Entities of tagged sentences, and their scores against counts made another way."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as some

from honed.text.entities import Entity, are_entities, entities, entity_scores

TAGS = ["O", "B-a", "I-a", "B-b", "I-b"]
SENTENCES = some.lists(some.sampled_from(TAGS), min_size=1, max_size=12)


def by_pattern(tags: list[str]) -> set[tuple[str, int, int]]:
    """Of a text with two letters a tag: runs of one type that begin with B, or with I behind anything else."""
    text = "".join({"O": "..", "B-a": "Ba", "I-a": "Ia", "B-b": "Bb", "I-b": "Ib"}[tag] for tag in tags)
    found = re.finditer(r"(?=..)(?:Ba|(?<!Ba)(?<!Ia)Ia)(?:Ia)*|(?:Bb|(?<!Bb)(?<!Ib)Ib)(?:Ib)*", text)
    return {(match[0][1], match.start() // 2, match.end() // 2) for match in found}


@given(SENTENCES)
def test_entities_are_runs_of_a_type(tags: list[str]) -> None:
    assert {(one.kind, one.first, one.end) for one in entities(tags)} == by_pattern(tags)


@given(some.lists(some.tuples(SENTENCES, SENTENCES), min_size=1, max_size=4))
def test_scores_are_shares_of_what_is_equal(pairs: list[tuple[list[str], list[str]]]) -> None:
    cut = [(a[: min(len(a), len(b))], b[: min(len(a), len(b))]) for a, b in pairs]
    scores = entity_scores([a for a, _ in cut], [b for _, b in cut])
    right = sum(len(by_pattern(a) & by_pattern(b)) for a, b in cut)
    asked, said = (sum(len(by_pattern(one[side])) for one in cut) for side in (0, 1))
    assert scores["precision"] == pytest.approx(right / said if said else 0)
    assert scores["recall"] == pytest.approx(right / asked if asked else 0)
    assert scores["F1"] == pytest.approx(2 * right / (said + asked) if said + asked else 0)


def test_an_entity_that_begins_inside_and_one_behind_another() -> None:
    assert entities(["I-a", "B-a", "I-a", "I-b"]) == (Entity("a", 0, 1), Entity("a", 1, 3), Entity("b", 3, 4))


def test_names_of_this_form() -> None:
    assert are_entities(["O", "B-person", "I-person"])
    assert not are_entities(["NOUN", "VERB"])
    assert not are_entities(["O"])
