from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from honed.api.offline.rows import Row, column_names, format_of, read_rows
from honed.errors import ParameterError, SourceError


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b'{"prompt": "\xc3\xa9", "n": 1}\n\n"text"\r\n[1]\n{"a": NaN}\n{\n{"a": "\\ud800"}\n\xff\n{"last": null}'
    )
    rows = list(read_rows(path))
    assert rows[:2] == [Row({"prompt": "é", "n": 1}), Row({"prompt": "text"})]
    errors = [row.error or "" for row in rows[2:-1]]
    for error, (line, what) in zip(
        errors, [(4, "object"), (5, "NaN"), (6, "not JSON"), (7, "surrogate"), (8, "not JSON")], strict=True
    ):
        assert f"line {line}" in error and what in error
    assert rows[-1] == Row({"last": None})
    assert column_names(path) is None


def test_deep_lines_are_errors_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("[" * 200_000 + "\n" + '{"prompt": "b"}\n')
    first, second = read_rows(path)
    assert first.error is not None and second.fields == {"prompt": "b"}


def test_a_text_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b" one \n\ntwo\r\n\xff\nthree")
    rows = list(read_rows(path))
    assert [row.fields.get("prompt") for row in rows] == [" one ", "two", None, "three"]
    assert rows[2].error is not None and "0xff" in rows[2].error


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbfid,prompt\r\n1,"a ""b""\nc"\r\n2\r\n\r\n3,d\r\n')
    rows = list(read_rows(path))
    assert rows[0].fields == {"id": "1", "prompt": 'a "b"\nc'} and rows[2].fields == {"id": "3", "prompt": "d"}
    assert rows[1].error is not None and "1 cells" in rows[1].error
    assert column_names(path) == ["id", "prompt"]
    path.write_text("a,a\n1,2\n")
    with pytest.raises(SourceError, match="twice"):
        list(read_rows(path))
    path.write_bytes(b"a\n\xff\n")
    with pytest.raises(SourceError, match="UTF-8"):
        list(read_rows(path))


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows = [{"id": i, "messages": [{"role": "user", "content": str(i)}]} for i in range(600)]
    pq.write_table(pa.Table.from_pylist(rows), path)
    assert [row.fields for row in read_rows(path)] == rows
    assert column_names(path) == ["id", "messages"]
    path.write_bytes(b"PAR1 nothing")
    with pytest.raises(SourceError, match="Parquet"):
        list(read_rows(path))


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"input = 'a\.xlsx'.*\.jsonl"):
        format_of(tmp_path / "a.xlsx", "input")
    with pytest.raises(SourceError):
        list(read_rows(tmp_path / "missing.jsonl"))
    (tmp_path / "long.jsonl").write_text(json.dumps({"prompt": "x" * (65 << 20)}))
    with pytest.raises(SourceError, match="line 1 is over"):
        list(read_rows(tmp_path / "long.jsonl"))
