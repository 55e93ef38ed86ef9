from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from honed.api.offline.journal import Journal
from honed.errors import MachineError, SourceError

QUESTION = {"task": "generate", "input": "a hash"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    order=st.permutations(range(6)),
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=6, max_size=6),
    cut=st.integers(0, 400),
)
def test_whatever_of_the_file_is_left_whole_results_are_found_again(
    tmp_path: Path, order: list[int], texts: list[str], cut: int
) -> None:
    path = tmp_path / "journal"
    path.unlink(missing_ok=True)
    ends = {}
    with Journal(path, QUESTION, 6) as journal:
        for row in order:
            journal.add(row, {"output": texts[row]})
            ends[row] = path.stat().st_size
    left = path.read_bytes()[:cut]
    path.write_bytes(left)
    with Journal(path, QUESTION, 6) as journal:
        whole = [row for row in order if ends[row] <= cut]
        assert [row for row in range(6) if row in journal] == sorted(whole)
        assert journal.done == len(whole)
        for row in range(6):  # and it goes on
            if row not in journal:
                journal.add(row, {"output": texts[row]})
        assert [journal.result(row)["output"] for row in range(6)] == texts
    assert path.read_bytes().count(b"\n") == 7


def test_another_question_is_not_answered_by_it(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, QUESTION, 2) as journal:
        journal.add(1, {"output": "x"})
    with pytest.raises(SourceError, match=r"task = 'generate', and this one has 'embed'"):
        Journal(path, QUESTION | {"task": "embed"}, 2)
    with Journal(path, QUESTION, 2) as journal:
        assert 1 in journal and 0 not in journal


@pytest.mark.parametrize("content", [b"# notes\n", b"# notes", b'{"honed_run": 2}\n', b"\xff\xfe\n"])
def test_another_file_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal"
    path.write_bytes(content)
    with pytest.raises(SourceError, match="name another output"):
        Journal(path, QUESTION, 2)
    assert path.read_bytes() == content


def test_a_line_that_is_no_result_is_named(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, QUESTION, 2) as journal:
        journal.add(0, {})
    whole = path.read_bytes()
    for line in (b"x\n", b'{"row": 2}\n', b'{"row": "0"}\n', b"[]\n"):
        path.write_bytes(whole + line)
        with pytest.raises(SourceError, match=f"byte {len(whole)} "):
            Journal(path, QUESTION, 2)


def test_two_processes_never_write_together(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal", QUESTION, 2), pytest.raises(SourceError, match="another honed run"):
        Journal(tmp_path / "journal", QUESTION, 2)


def test_a_place_that_cannot_be_written_is_the_machines_fault(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="cannot be written"):
        Journal(tmp_path / "missing" / "journal", QUESTION, 2)
