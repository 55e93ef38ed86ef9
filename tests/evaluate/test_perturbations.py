from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from honed.evaluate.examples import Example, make_example
from honed.evaluate.perturbations import KINDS, contracted, mistyped, perturbed, spaces, typos
from honed.evaluate.task_file import make_task

SEEDS = st.integers(0, 1000)


def made(kind: str, columns: dict[str, Any], **more: Any) -> tuple[Any, Example]:
    task = make_task({"version": 1, "task": kind, "data": {"path": "x.jsonl"}, **more})
    return task, make_example(task, 4, columns)


@settings(deadline=None)
@given(st.from_regex(r"\w{3,12}", fullmatch=True), SEEDS)
def test_a_typo_is_one_edit_behind_the_first_character(word: str, seed: int) -> None:
    found = mistyped(word, Random(seed))
    assert found[:1] == word[:1]
    assert abs(len(found) - len(word)) <= 1
    if len(found) == len(word):
        assert sum(a != b for a, b in zip(found, word, strict=True)) <= 2


def test_typos_are_in_longer_words_alone_and_one_at_least() -> None:
    text = "a fine film of an elder age"
    for seed in range(30):
        words, found = text.split(" "), typos(text, Random(seed)).split(" ")
        changed = [a for a, b in zip(words, found, strict=True) if a != b]
        assert changed and set(changed) <= {"fine", "film", "elder"}
    assert typos("of an", Random(1)) == "of an"


@given(st.text(alphabet="ab \n", max_size=20), SEEDS)
def test_spaces_keep_the_words(text: str, seed: int) -> None:
    assert spaces(text, Random(seed)).split() == text.split()


def test_contractions_go_both_ways() -> None:
    assert contracted("It is good, and they do not know.", Random(0)) == "It's good, and they don't know."
    assert contracted("It's good; they DON'T.", Random(0)) == "It is good; they Do not."
    assert contracted("nothing here", Random(0)) == "nothing here"


def test_each_kind_changes_what_the_task_reads_and_nothing_else() -> None:
    task, example = made("text-classification", {"text": "It is a fine old film", "label": "x"}, labels={"x": "good"})
    found = perturbed(task, [example])
    assert list(found) == list(KINDS)
    assert found["upper case"][0].inputs["text"] == "IT IS A FINE OLD FILM"
    assert all(changed[0].reference == ("good",) and changed[0].row == 4 for changed in found.values())
    assert found == perturbed(task, [example])


def test_words_stay_as_many_as_their_tags() -> None:
    columns = {"tokens": ["Peter", "visited", "Paris"], "tags": ["B-P", "O", "B-L"]}
    task, example = made("token-classification", columns)
    found = perturbed(task, [example])
    assert set(found) == {"typos", "upper case", "lower case"}
    assert all(len(changed[0].inputs["tokens"]) == 3 for changed in found.values())
    assert found["lower case"][0].inputs["tokens"][0] == "peter"


def test_a_paraphrase_is_a_column_and_the_prompt_is_filled_again() -> None:
    columns = {"text": "one", "other": "two", "label": "x"}
    fields = {"paraphrase": "other"}
    task, example = made("text-classification", columns, fields=fields, prompt="{text}?")
    assert example.inputs == {"text": "one"}
    said = perturbed(task, [example])["paraphrase"][0]
    assert (said.inputs["text"], said.prompt) == ("two", "two?")
