"""A user's file to tokens: every form, and what is wrong with a row is said of that row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chatty_model import with_template
from honed.api.calibration_file import read_documents
from honed.checkpoints.open import open_checkpoint
from honed.errors import FormatError, ParameterError
from honed.text.tokenizer import Tokenizer

CHAT = [{"role": "user", "content": "is it"}, {"role": "assistant", "content": "it is"}]


@pytest.fixture
def tokenizer(tiny_llama: Path, tmp_path: Path) -> Tokenizer:
    return open_checkpoint(str(with_template(tiny_llama, tmp_path / "model"))).tokenizer()


def written(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_texts_and_chats_of_json_lines(tmp_path: Path, tokenizer: Tokenizer) -> None:
    rows = [{"text": "the a of"}, {"messages": CHAT}, {"prompt": "to and", "answer": 3}, "in is it"]
    found = list(read_documents(written(tmp_path / "mine.jsonl", rows), tokenizer))
    texts = ["the a of", "user is it assistant it is ", "to and", "in is it"]
    assert found == [tokenizer.encode(text, add_special=False) for text in texts]


def test_a_text_file_is_one_document(tmp_path: Path, tokenizer: Tokenizer) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("the a of\nto and\n")
    assert list(read_documents(file, tokenizer)) == [tokenizer.encode("the a of to and", add_special=False)]


def test_tables(tmp_path: Path, tokenizer: Tokenizer) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    (tmp_path / "mine.csv").write_text("number,text\n1,the a of\n2,to and\n")
    pyarrow.parquet.write_table(pa.table({"text": ["the a of", "to and"]}), tmp_path / "mine.parquet")
    expected = [tokenizer.encode(text, add_special=False) for text in ("the a of", "to and")]
    assert list(read_documents(tmp_path / "mine.csv", tokenizer)) == expected
    assert list(read_documents(tmp_path / "mine.parquet", tokenizer)) == expected


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"text": "the"}, {"words": "a"}], "row 2: has neither messages nor one of text, prompt, content"),
        ([{"messages": [{"role": "user"}]}], "row 1: messages: are refused"),
        ([["the"]], "row 1: line 1: must be an object or a text"),
    ],
)
def test_a_row_that_is_wrong_is_named(tmp_path: Path, tokenizer: Tokenizer, rows: list[Any], words: str) -> None:
    with pytest.raises(FormatError, match=words):
        list(read_documents(written(tmp_path / "mine.jsonl", rows), tokenizer))


def test_chats_need_a_template(tmp_path: Path, tiny_llama: Path) -> None:
    plain = open_checkpoint(str(tiny_llama)).tokenizer()
    with pytest.raises(FormatError, match=r"row 1: messages: need a chat template, and the model has none"):
        list(read_documents(written(tmp_path / "mine.jsonl", [{"messages": CHAT}]), plain))


def test_other_files_are_refused_by_their_name(tmp_path: Path, tokenizer: Tokenizer) -> None:
    with pytest.raises(ParameterError, match=r"calibration\.text.*mine\.bin.*must end with"):
        list(read_documents(tmp_path / "mine.bin", tokenizer))
