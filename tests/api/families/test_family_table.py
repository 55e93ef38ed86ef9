"""The table, and that the README shows every family with what the registry says of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from honed.api.families import table
from honed.api.families.row import COLUMNS, Row
from honed.errors import FormatError, ParameterError
from honed.models.registry import FAMILIES

README = Path(__file__).parents[3] / "README.md"


def test_the_document_shows_every_family_of_the_registry_and_no_other() -> None:
    header, rule, *rows = table.shown_in(README.read_text(), README).splitlines()
    assert [cell.strip() for cell in header.strip("|").split("|")] == list(table.HEADER)
    assert set(rule) <= set("|- ")
    shown = [[cell.strip() for cell in line.strip("|").split("|")] for line in rows]
    assert [line[:2] for line in shown] == [[name, family.covers] for name, family in FAMILIES.items()]
    for line in shown:
        outcomes = dict(zip(COLUMNS, line[2:], strict=True))
        assert set(outcomes.values()) <= {"yes", "no", "-"}
        assert (outcomes["GGUF"] == "-") is (FAMILIES[line[0]].gguf is None)
        assert all(outcomes[column] == "yes" for column in COLUMNS if column != "GGUF"), line


def test_a_table_is_put_where_the_last_one_was(tmp_path: Path) -> None:
    row = Row("llama", "Llama", dict.fromkeys(COLUMNS, "yes"))
    path = tmp_path / "README.md"
    path.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nbehind\n")
    table.put_into(path, table.markdown([row]))
    text = path.read_text()
    assert table.shown_in(text, path) == table.markdown([row])
    assert text.startswith("before\n")
    assert text.endswith("\nbehind\n")
    assert table.markdown([row]).splitlines()[2] == "| llama | Llama | yes | yes | yes | yes | yes | yes |"
    path.write_text("no place")
    with pytest.raises(FormatError, match="there are no lines"):
        table.put_into(path, "x")


def test_families_are_chosen_by_name() -> None:
    assert table.chosen([]) == list(FAMILIES)
    assert table.chosen(["qwen2", "llama"]) == ["llama", "qwen2"]
    with pytest.raises(ParameterError, match="must be one of"):
        table.chosen(["lama"])


def test_the_cache_of_the_user_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def tried(model_type: str, folder: Path) -> Row:
        seen.append((os.environ["XDG_CACHE_HOME"], folder))
        return Row(model_type, "")

    monkeypatch.setattr(table, "try_family", tried)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    rows = list(table.try_families(["llama", "opt"]))
    assert [row.model_type for row in rows] == ["llama", "opt"]
    assert all(cache == str(folder / "cache") and not folder.exists() for cache, folder in seen)
    assert os.environ["XDG_CACHE_HOME"] == "/somewhere"
