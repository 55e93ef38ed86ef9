"""Labelled files of every form, and what is said of rows that are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from honed.api.labelled import TaggedWords, read_dialogues, read_tagged, read_texts
from honed.errors import HonedError


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_texts_of_every_form(tmp_path: Path) -> None:
    rows = [{"sentence": 'so "good"', "label": 1}, {"sentence": "bad", "label": 0}]
    written = [lines(tmp_path / "a.jsonl", *rows)]
    (tmp_path / "a.tsv").write_text('sentence\tlabel\nso "good"\t1\nbad\t0\n')
    (tmp_path / "a.csv").write_text('sentence,label\n"so ""good""",1\nbad,0\n')
    for path in (*written, tmp_path / "a.tsv", tmp_path / "a.csv"):
        found = read_texts(path)
        assert [(one.text, one.labels, one.several) for one in found] == [
            ('so "good"', ("1",), False),
            ("bad", ("0",), False),
        ]


def test_parquet(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"text": ["a b"], "labels": [["x", "y"]]}), tmp_path / "a.parquet")
    (found,) = read_texts(tmp_path / "a.parquet")
    assert (found.labels, found.several) == (("x", "y"), True)


def test_fields_are_named(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"p": "one", "h": "two", "gold": "no", "label": 7})
    (found,) = read_texts(path, text="p", label="gold", second="h")
    assert (found.text, found.second, found.labels) == ("one", "two", ("no",))
    with pytest.raises(HonedError, match="label = 'sentiment': must be a field, and row 1 of"):
        read_texts(path, text="p", label="sentiment")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "a"}, "row 2: has none of label, labels, but 'text'; name it with --label"),
        ({"text": 3, "label": "x"}, "row 2: text: must be a text"),
        ({"text": "  ", "label": "x"}, "row 2: text: must be a text"),
        ({"text": "a", "label": None}, "row 2: label: must be a label"),
        ({"text": "a", "label": ["x"]}, "row 2: label: all rows must have a list"),
    ],
)
def test_rows_that_are_wrong(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(HonedError, match=message):
        read_texts(lines(tmp_path / "a.jsonl", {"text": "fine", "label": "x"}, row))


def test_files_that_are_wrong(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("")
    (tmp_path / "b.jsonl").write_text('{"text": \n')
    (tmp_path / "c.tsv").write_text("text\tlabel\na\n")
    for name, message in {"a.jsonl": "holds no rows", "b.jsonl": "is not JSON", "c.tsv": "line 2: has 1 cells"}.items():
        with pytest.raises(HonedError, match=message):
            read_texts(tmp_path / name)
    with pytest.raises(HonedError, match="must end with one of"):
        read_texts(tmp_path / "a.doc")
    with pytest.raises(HonedError, match=r"none\.jsonl"):
        read_texts(tmp_path / "none.jsonl")


WORDS = some.text(some.characters(categories=["L", "N", "P"]), min_size=1, max_size=8).filter(
    lambda word: word.strip() and word != "-DOCSTART-"
)
SENTENCES = some.lists(some.lists(some.tuples(WORDS, some.sampled_from(["O", "B-a"])), min_size=1), min_size=1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(SENTENCES)
def test_columns_come_back(tmp_path: Path, data: list[list[tuple[str, str]]]) -> None:
    path = tmp_path / "a.conll"
    text = "\n".join("".join(f"{word}\t{tag}\n" for word, tag in sentence) for sentence in data)
    path.write_text(f"-DOCSTART-\tO\n\n{text}\n\ufeff\n", encoding="utf-8")
    assert read_tagged(path) == [
        TaggedWords(tuple(word for word, _ in sentence), tuple(tag for _, tag in sentence)) for sentence in data
    ]


def test_columns_with_spaces_and_a_line_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n")
    assert read_tagged(path) == [TaggedWords(("EU", "rejects"), ("B-ORG", "O"))]
    path.write_text("EU B-ORG\nalone\n")
    with pytest.raises(HonedError, match="line 2: must be a word and its tag, and is 'alone'"):
        read_tagged(path)


def test_tagged_rows(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"tokens": ["a", "b"], "ner_tags": [0, 2]})
    assert read_tagged(path) == [TaggedWords(("a", "b"), ("0", "2"))]
    with pytest.raises(HonedError, match="must have a tag for each of 2 words: 1"):
        read_tagged(lines(tmp_path / "b.jsonl", {"tokens": ["a", "b"], "ner_tags": [0]}))
    with pytest.raises(HonedError, match="must be a list of words"):
        read_tagged(lines(tmp_path / "c.jsonl", {"tokens": "a b", "ner_tags": ["O", "O"]}))


def test_dialogues(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
    assert read_dialogues(lines(tmp_path / "a.jsonl", {"messages": turns})) == [turns]
    for wrong in (turns[:1], "hi", [{"content": "x"}]):
        with pytest.raises(HonedError, match="row 1: messages: must be a list of objects with a role"):
            read_dialogues(lines(tmp_path / "b.jsonl", {"messages": wrong}))
