from __future__ import annotations

import csv
import json
import random
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from honed.api.offline.run import Job, run_job
from honed.errors import MachineError, ParameterError, SourceError


class Killed(BaseException):
    pass


def upper(row: int, fields: Mapping[str, Any]) -> dict[str, Any]:
    time.sleep(random.Random(row).random() / 500)
    return {"output": fields["prompt"].upper(), "completion_tokens": 1}


def job(tmp_path: Path, rows: int = 50, suffix: str = ".jsonl", **given: Any) -> Job:
    source = tmp_path / "in.jsonl"
    if not source.exists():
        source.write_text("".join(json.dumps({"prompt": f"p{i}"}) + "\n" for i in range(rows)))
    return Job(source, tmp_path / f"out{suffix}", "generate", {"model": "m"}, together=8, **given)


def outputs(path: Path) -> list[str]:
    return [json.loads(line)["output"] for line in path.read_text().splitlines()]


def test_order_is_kept_and_nothing_is_left_over(tmp_path: Path) -> None:
    found = run_job(job(tmp_path), upper)
    assert outputs(tmp_path / "out.jsonl") == [f"P{i}" for i in range(50)]
    assert (found.rows, found.resumed, found.failed, found.tokens) == (50, 0, 0, 50)
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl", "out.jsonl"}


def test_a_run_that_was_broken_off_goes_on_and_does_no_row_twice(tmp_path: Path) -> None:
    seen: list[int] = []
    lock = threading.Lock()
    stopped = threading.Event()

    def counted(row: int, fields: Mapping[str, Any]) -> dict[str, Any]:
        result = upper(row, fields)
        with lock:
            seen.append(row)
        return result

    def breaks(label: str, done: int, total: int) -> None:
        if done >= 20:
            raise Killed

    with pytest.raises(Killed):
        run_job(job(tmp_path), counted, stop=stopped.set, report=breaks)
    assert stopped.is_set()
    assert not (tmp_path / "out.jsonl").exists()
    noted = (tmp_path / "out.jsonl.partial").read_text().count("\n") - 1
    assert noted >= 20
    seen.clear()
    found = run_job(job(tmp_path), counted)
    assert found.resumed == noted and len(seen) == 50 - noted
    assert outputs(tmp_path / "out.jsonl") == [f"P{i}" for i in range(50)]


def test_what_the_machine_cannot_do_ends_the_run_and_keeps_what_is_done(tmp_path: Path) -> None:
    def fails(row: int, fields: Mapping[str, Any]) -> dict[str, Any]:
        if row == 30:
            raise MachineError("no memory")
        return upper(row, fields)

    with pytest.raises(MachineError, match="no memory"):
        run_job(job(tmp_path), fails)
    assert run_job(job(tmp_path), upper).resumed > 0
    assert len(outputs(tmp_path / "out.jsonl")) == 50


def test_another_input_or_question_is_refused(tmp_path: Path) -> None:
    def breaks(label: str, done: int, total: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        run_job(job(tmp_path), upper, report=breaks)
    (tmp_path / "in.jsonl").write_text('{"prompt": "another"}\n')
    with pytest.raises(SourceError, match="input"):
        run_job(job(tmp_path), upper)


def test_rows_with_errors_stand_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"prompt": "a"}\nnothing\n{"prompt": "b"}\n')
    found = run_job(job(tmp_path), upper)
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert found.failed == 1
    assert [line.get("output") for line in lines] == ["A", None, "B"] and "line 2" in lines[1]["error"]


def test_tables(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"prompt": "a", "x": [1]}\n{"prompt": "b", "y": "q"}\n')
    run_job(job(tmp_path, suffix=".csv"), upper)
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["prompt"], row["x"], row["y"], row["output"]) for row in rows] == [
        ("a", "[1]", "", "A"),
        ("b", "", "q", "B"),
    ]
    run_job(job(tmp_path, suffix=".parquet"), upper)
    found = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [(row["prompt"], row["x"], row["output"], row["error"]) for row in found] == [
        ("a", [1], "A", None),
        ("b", None, "B", None),
    ]


def test_fields_of_the_input_are_never_lost(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b", "output": "mine"}\n')
    with pytest.raises(ParameterError, match="'output'"):
        run_job(job(tmp_path), upper)


def test_an_output_that_is_there_is_not_replaced_unasked(tmp_path: Path) -> None:
    made = job(tmp_path)
    made.output.write_text("mine")
    with pytest.raises(ParameterError, match="--overwrite"):
        run_job(made, upper)
    assert made.output.read_text() == "mine"
    run_job(job(tmp_path, overwrite=True), upper)
    assert len(outputs(made.output)) == 50
    with pytest.raises(ParameterError, match="is the input"):
        run_job(Job(made.source, made.source, "generate", {}, overwrite=True), upper)


def test_an_empty_input_gives_an_empty_output(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("\n")
    for suffix in (".jsonl", ".parquet", ".csv"):
        assert run_job(job(tmp_path, suffix=suffix), upper).rows == 0
        assert (tmp_path / f"out{suffix}").exists()
