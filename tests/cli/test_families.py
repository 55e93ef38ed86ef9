"""`honed families`: the table as text, Markdown and JSON, and what it ends with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import typer

from honed.api.families import table
from honed.api.families.row import COLUMNS, Row
from honed.cli.families import families


def rows(names: Sequence[str]) -> Iterator[Row]:
    for name in names:
        yield Row(name, "Some models", {**dict.fromkeys(COLUMNS, "yes"), "GGUF": "-"})


def test_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(table, "try_families", rows)
    families(["llama", "opt"], markdown=True)
    printed = capsys.readouterr().out
    assert printed == table.markdown(list(rows(["llama", "opt"])))
    families(["opt"])
    assert "Some models" in capsys.readouterr().out
    families(["opt"], as_json=True)
    (told,) = json.loads(capsys.readouterr().out)["families"]
    assert (told["model_type"], told["GGUF"], told["int8"]) == ("opt", "-", "yes")


def test_it_fails_where_something_went_wrong_and_says_what(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(names: Sequence[str]) -> Iterator[Row]:
        for row in rows(names):
            row.outcomes["int4"], row.problems["int4"] = "no", "diverges"
            yield row

    monkeypatch.setattr(table, "try_families", wrong)
    with pytest.raises(typer.Exit) as left:
        families(["opt"])
    assert left.value.exit_code == 1
    assert "opt, int4: diverges" in capsys.readouterr().out


def test_a_document_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "try_families", rows)
    path = tmp_path / "README.md"
    path.write_text(f"{table.BEGIN}\n{table.END}\n")
    families(["opt"], into=path)
    assert "| opt | Some models | yes | - |" in path.read_text()
