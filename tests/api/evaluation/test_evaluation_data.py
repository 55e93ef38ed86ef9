from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from honed.api.evaluation.data import read_data
from honed.errors import FormatError, HonedError, ParameterError, SourceError
from honed.evaluate.task_file import make_task
from hub_server import hub


def read(directory: Path, name: str, content: str, limit: int | None = None, **more: Any) -> Any:
    (directory / name).write_text(content)
    task = make_task({"version": 1, "task": "language-modelling", "data": {"path": name}, **more})
    return read_data(task, directory, limit)


def test_the_same_rows_from_every_form(tmp_path: Path) -> None:
    contents = {
        "a.jsonl": '{"text": "one two"}\n{"text": "three"}\n',
        "a.csv": "text\none two\nthree\n",
        "a.tsv": 'text\tn\none two\t1\nthree\t"2\n',
        "a.txt": "one two\n\nthree\n",
    }
    for name, content in contents.items():
        found = read(tmp_path, name, content)
        assert [example.inputs["text"] for example in found.examples] == ["one two", "three"], name
        assert found.rows == 2 and len(found.sha256) == 64
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    parquet.write_table(pyarrow.table({"text": ["one two", "three"]}), tmp_path / "a.parquet")
    task = make_task({"version": 1, "task": "language-modelling", "data": {"path": "a.parquet"}})
    assert [example.row for example in read_data(task, tmp_path).examples] == [1, 2]


def test_conll_columns_are_sentences(tmp_path: Path) -> None:
    text = "-DOCSTART- -X- O O\n\nEU NNP B-ORG\nrejects VBZ O\n\n\nPeter\tNNP\tB-PER\n"
    task: dict[str, Any] = {"task": "token-classification", "data": {"path": "a.conll", "columns": ["tokens", "tags"]}}
    found = read(tmp_path, "a.conll", text, **task)
    assert [example.inputs["tokens"] for example in found.examples] == [["EU", "rejects"], ["Peter"]]
    assert [example.reference for example in found.examples] == [["B-ORG", "O"], ["B-PER"]]
    with pytest.raises(FormatError, match="line 1: has 1 columns, must have 2 or more"):
        read(tmp_path, "a.conll", "alone\n", **task)


def test_a_limit_draws_by_the_seed_and_keeps_the_order(tmp_path: Path) -> None:
    content = "".join(f"text {i}\n" for i in range(100))
    first, again, other = (read(tmp_path, "a.txt", content, limit=10, seed=seed) for seed in (1, 1, 2))
    rows = [example.row for example in first.examples]
    assert len(rows) == 10 and rows == sorted(rows) and rows != list(range(1, 11))
    assert rows == [example.row for example in again.examples] != [example.row for example in other.examples]
    assert len(read(tmp_path, "a.txt", content, limit=3, seed=0).examples) == 3
    assert len(read(tmp_path, "a.txt", content).examples) == 100


def test_what_is_wrong_with_a_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="line 2: is not JSON"):
        read(tmp_path, "a.jsonl", '{"text": "a"}\n{\n')
    with pytest.raises(FormatError, match="line 3: has 1 cells, and the first line 2"):
        read(tmp_path, "a.tsv", "a\tb\nc\td\ne\n")
    with pytest.raises(FormatError, match="rows: there are none"):
        read(tmp_path, "a.txt", "\n")
    with pytest.raises(ParameterError, match=r"or say data\.format"):
        read(tmp_path, "a.dat", "x")
    assert read(tmp_path, "a.dat", "x", data={"path": "a.dat", "format": "txt"}).rows == 1
    with pytest.raises(SourceError):
        read(tmp_path, "b.txt", "x", data={"path": "none.txt"})
    with pytest.raises(HonedError, match="row 1: has no 'text'"):
        read(tmp_path, "a.csv", "txt\nx\n")


def test_a_file_of_a_dataset_of_the_hub(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    program = """
from pathlib import Path
from honed.api.evaluation.data import read_data
from honed.errors import SourceError
from honed.evaluate.task_file import make_task
for name in ("rows.jsonl", "none.jsonl"):
    data = {"hub": "me/texts", "file": name, "revision": "main"}
    try:
        found = read_data(make_task({"version": 1, "task": "language-modelling", "data": data}), Path())
        print([example.inputs["text"] for example in found.examples])
    except SourceError as error:
        print(error)
"""
    with hub(tmp_path / "data", "me/texts") as served:
        done = served.run(program, tmp_path / "home")
    assert "['one', 'two']" in done.stdout, done.stderr
    assert "none.jsonl of the dataset me/texts cannot be had" in done.stdout
    assert any("/datasets/me/texts" in path for path in served.requests)


def test_json_values_are_kept(tmp_path: Path) -> None:
    row = {"query": "q", "candidates": ["a", "b"], "grades": [1, 0]}
    found = read(tmp_path, "a.jsonl", json.dumps(row) + "\n", task="ranking")
    assert found.examples[0].reference == [1.0, 0.0]
