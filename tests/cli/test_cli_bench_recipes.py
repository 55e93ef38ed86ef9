"""`honed bench-recipes` as it is called: what is wrong is told before anything is measured, and files are written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from honed.api import bench_recipes as api
from honed.bench.recipe_rows import RecipeResults
from honed.cli.bench_recipes import BEGIN, END, bench_recipes
from honed.errors import FormatError, HonedError, MachineError, ParameterError, SourceError
from recipe_results import FAILED, FILE, ROW


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch) -> list[api.RecipeBench]:
    seen: list[api.RecipeBench] = []

    def measure(asked: api.RecipeBench, progress: Any) -> RecipeResults:
        seen.append(asked)
        rows = (ROW, FILE, FAILED) if "nf4" in asked.recipes else (ROW, FILE)
        return RecipeResults({"model": "m", "source_bytes": 98_000_000}, rows)

    monkeypatch.setattr(api, "bench_recipes", measure)
    return seen


def run(tmp_path: Path, **given: Any) -> None:
    settings: dict[str, Any] = {
        "threads": 1,
        "recipes": "int8,int4",
        "folder": tmp_path / "f",
        "out": tmp_path / "r.json",
    }
    bench_recipes("m", **{**settings, **given})


def test_files_are_written(tmp_path: Path, measured: list[api.RecipeBench], capsys: pytest.CaptureFixture[str]) -> None:
    document = tmp_path / "README.md"
    document.write_text(f"{BEGIN}\n{END}\n")
    page, plot, summary = (tmp_path / name for name in ("r.md", "r.svg", "s.json"))
    run(tmp_path, files="all", page=page, plot=plot, summary=summary, into=document)
    (asked,) = measured
    assert list(asked.recipes) == ["int8", "int4"]
    assert "IQ4_XS" in asked.files
    assert "](r.svg)" in page.read_text()
    assert "<svg" in plot.read_text()
    assert json.loads(summary.read_text())["int4"]["decode"] == 2.5
    assert "| int4 |" in document.read_text()
    assert "int4" in capsys.readouterr().out


def test_a_recipe_that_failed_fails_the_command_when_all_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(MachineError, match="not measured: nf4: no memory"):
        run(tmp_path, recipes="int4,nf4")
    assert "failed: no memory" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"recipes": "int5"}, ParameterError),
        ({"files": "Q9"}, ParameterError),
        ({"tokens": 3}, ParameterError),
        ({"page": Path("/nowhere/at/all.md")}, SourceError),
        ({"folder": Path("/proc/nothing")}, HonedError),
        ({"into": Path("pyproject.toml")}, FormatError),
    ],
)
def test_what_is_wrong_is_told_first(
    tmp_path: Path, measured: list[api.RecipeBench], given: dict[str, Any], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        run(tmp_path, **given)
    assert measured == []
